// The three requests that the page makes, all to the server it came from.
import { EventStreamReader } from "./event_stream";
import { parseModels, parsePart, parseProps } from "./parse";
import { errorFromBody, retrySeconds, ServerError } from "./server_error";
import type { ChatTurn, Sampling, ServerInfo, StreamPart } from "./types";

const kLongestAnswer = 64 * 1024 * 1024; // bytes of a JSON answer

// Relative to the page, so that a proxy may serve it under a path.
const address = (path: string) => new URL(path, document.baseURI).href;

function headers(key: string): Record<string, string> {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

const isAbort = (error: unknown) => error instanceof DOMException && error.name === "AbortError";

async function send(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address(path), { ...init, cache: "no-store", credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ServerError({ kind: "unreachable", detail: "" });
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response: Response): Promise<ServerError> {
  const body: unknown = await response.json().catch(() => null);
  const error = errorFromBody(response.status, body);
  const wait = retrySeconds(response.headers.get("Retry-After"), Date.now());
  return new ServerError({ ...error.report, retrySeconds: wait });
}

async function getJson(path: string, key: string): Promise<unknown> {
  const response = await send(path, { headers: headers(key) });
  return response.json().catch(() => {
    throw new ServerError({ kind: "failed", detail: `The answer to ${path} is not JSON.`, status: response.status });
  });
}

export async function fetchModels(key: string): Promise<string[]> {
  return parseModels(await getJson("v1/models", key));
}

export async function fetchServerInfo(key: string): Promise<ServerInfo> {
  return parseProps(await getJson("props", key));
}

export interface ChatRequest {
  model: string;
  turns: ChatTurn[];
  sampling: Sampling;
}

export function requestBody({ model, turns, sampling }: ChatRequest): Record<string, unknown> {
  const { alternatives, stop, ...numbers } = sampling;
  return {
    ...(model ? { model } : {}),
    messages: turns,
    stream: true,
    stream_options: { include_usage: true },
    return_progress: true,
    ...Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined)),
    ...(stop && stop.length > 0 ? { stop } : {}),
    ...(alternatives !== undefined ? { logprobs: true, top_logprobs: alternatives } : {}),
  };
}

// The parts of an answer as they arrive. Ends normally only after the server said that the answer is complete; throws a ServerError
// otherwise, and an AbortError when `signal` says stop.
export async function* streamChat(request: ChatRequest, key: string, signal: AbortSignal): AsyncGenerator<StreamPart> {
  const response = await send("v1/chat/completions", {
    method: "POST",
    headers: { ...headers(key), "Content-Type": "application/json" },
    body: JSON.stringify(requestBody(request)),
    signal,
  });
  if (!response.headers.get("Content-Type")?.includes("event-stream")) {
    yield parsePart((await response.text()).slice(0, kLongestAnswer)); // a server that does not stream
    return;
  }
  yield* readParts(response);
}

async function* readParts(response: Response): AsyncGenerator<StreamPart> {
  let finished = false;
  for await (const data of readData(response)) {
    if (data === "[DONE]") return;
    const part = parsePart(data);
    finished ||= part.finish !== undefined;
    yield part;
  }
  if (!finished) throw new ServerError({ kind: "interrupted", detail: "" });
}

async function* readData(response: Response): AsyncGenerator<string> {
  const body = response.body?.getReader();
  const events = new EventStreamReader();
  try {
    for (;;) {
      const next = await body?.read();
      if (!next || next.done) return;
      for (const event of events.push(next.value)) yield event.data;
    }
  } catch (error) {
    if (isAbort(error) || error instanceof ServerError) throw error;
    throw new ServerError({ kind: "interrupted", detail: "" });
  } finally {
    await body?.cancel().catch(() => undefined); // frees the connection when the reader above stops early
  }
}
