// From the server's JSON to what the page uses. Tolerant: an unknown or wrong field is as good as a missing one.
import { errorFromBody, ServerError } from "./server_error";
import type { Alternative, ServerInfo, StreamPart, Timings, Token, Usage } from "./types";

type Fields = Record<string, unknown>;

const fields = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});
const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}

function alternative(value: unknown): Alternative | undefined {
  const { token, logprob } = fields(value);
  return typeof token === "string" && typeof logprob === "number" ? { token, logprob } : undefined;
}

function tokens(logprobs: unknown): Token[] {
  const result: Token[] = [];
  for (const entry of list(fields(logprobs).content)) {
    const token = alternative(entry);
    if (!token) continue;
    const others = list(fields(entry).top_logprobs).map(alternative);
    result.push({ ...token, alternatives: others.filter((a) => a !== undefined) });
  }
  return result;
}

function usage(value: unknown): Usage | undefined {
  const u = fields(value);
  if (count(u.prompt_tokens) === undefined && count(u.total_tokens) === undefined) return undefined;
  return {
    prompt_tokens: count(u.prompt_tokens),
    completion_tokens: count(u.completion_tokens),
    total_tokens: count(u.total_tokens),
    cached_tokens: count(fields(u.prompt_tokens_details).cached_tokens),
  };
}

const kTimings = ["prompt_tokens", "cached_tokens", "prompt_seconds", "generated_tokens", "generated_seconds", "kv_cache_tokens", "kv_cache_capacity"] as const;

function timings(value: unknown): Timings | undefined {
  const t = fields(value);
  const result: Timings = {};
  for (const key of kTimings) result[key] = count(t[key]);
  return kTimings.some((key) => result[key] !== undefined) ? result : undefined;
}

function progress(value: unknown): StreamPart["progress"] {
  const processed = count(fields(value).processed);
  const total = count(fields(value).total);
  return processed !== undefined && total !== undefined && total > 0 ? { processed: Math.min(processed, total), total } : undefined;
}

// `data` of one event. Throws a ServerError for an error of the server, and for what is no JSON.
export function parsePart(data: string): StreamPart {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch {
    throw new ServerError({ kind: "failed", detail: "The stream holds something that is not JSON." });
  }
  const chunk = fields(json);
  if (chunk.error) throw errorFromBody(0, chunk);
  const choice = fields(list(chunk.choices)[0]);
  const delta = fields(choice.delta ?? choice.message);
  return {
    text: text(delta.content) ?? "",
    tokens: tokens(choice.logprobs),
    finish: text(choice.finish_reason),
    usage: usage(chunk.usage),
    timings: timings(chunk.timings),
    progress: progress(chunk.prompt_progress),
    model: text(chunk.model),
  };
}

export function parseModels(json: unknown): string[] {
  return list(fields(json).data).flatMap((m) => text(fields(m).id) ?? []);
}

const fileName = (path: string | undefined) => path?.split("/").pop();

const kDefaults = ["temperature", "top_p", "top_k", "min_p"] as const;

// /props has been spelled in several ways by several servers.
export function parseProps(json: unknown): ServerInfo {
  const p = fields(json);
  const settings = fields(p.default_generation_settings);
  const contexts = [p.context_length, p.n_ctx, p.max_model_len, settings.n_ctx];
  return {
    defaults: Object.fromEntries(kDefaults.flatMap((key) => (count(settings[key]) === undefined ? [] : [[key, count(settings[key])]]))),
    answers: p.has_chat_template !== false,
    model: text(p.model) ?? text(p.model_name) ?? text(p.model_alias) ?? fileName(text(p.model_path)),
    context: contexts.map(count).find((n) => n !== undefined && n > 0),
    version: text(p.version) ?? text(p.build_info),
  };
}
