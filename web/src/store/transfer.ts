// Conversations as a JSON file. Reading one checks every field, for the file may come from anywhere.
import type { Sampling, Token } from "../api/types";
import { newId, type Conversation, type Message, type Statistics } from "../chat/conversation";
import { readBundle, type Bundle, type ConversationStore } from "./conversation_store";

const kFormat = "fathom-conversations", kVersion = 1;

export interface ImportResult {
  imported: number;
  skipped: number; // already here, unchanged
}

export function exportText(bundles: Bundle[]): string {
  return JSON.stringify({ format: kFormat, version: kVersion, exported: new Date().toISOString(), conversations: bundles }, null, 1);
}

class Reader {
  constructor(
    private readonly value: unknown,
    private readonly where: string,
  ) {}

  private fail(needed: string): never {
    const found = this.value === null ? "null" : Array.isArray(this.value) ? "a list" : typeof this.value === "undefined" ? "nothing" : `a ${typeof this.value}`;
    throw new Error(`${this.where} is ${found}, but ${needed} is needed. Was the file exported by this page?`);
  }

  at(key: string): Reader {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) this.fail("an object");
    const own = Object.hasOwn(this.value, key) ? (this.value as Record<string, unknown>)[key] : undefined;
    return new Reader(own, `${this.where}.${key}`);
  }

  entries(): [string, Reader][] {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) this.fail("an object");
    return Object.entries(this.value).map(([key, value]) => [key, new Reader(value, `${this.where}.${key}`)]);
  }

  list(): Reader[] {
    if (!Array.isArray(this.value)) this.fail("a list");
    return this.value.map((value, i) => new Reader(value, `${this.where}[${i}]`));
  }

  get missing(): boolean {
    return this.value === undefined || this.value === null;
  }

  text(): string {
    return typeof this.value === "string" ? this.value : this.fail("a text");
  }

  number(): number {
    return typeof this.value === "number" && Number.isFinite(this.value) ? this.value : this.fail("a number");
  }

  optional<T>(read: (reader: Reader) => T): T | undefined {
    return this.missing ? undefined : read(this);
  }
}

const kNumbers = ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty", "seed", "max_tokens", "alternatives"] as const;

function readSampling(r: Reader): Sampling {
  const sampling: Sampling = {};
  for (const key of kNumbers) sampling[key] = r.at(key).optional((n) => n.number());
  sampling.stop = r.at("stop").optional((stop) => stop.list().map((s) => s.text()));
  return sampling;
}

function readConversation(r: Reader): Conversation {
  return {
    id: r.at("id").text(),
    title: r.at("title").text(),
    created: r.at("created").number(),
    updated: r.at("updated").number(),
    leaf: r.at("leaf").optional((leaf) => leaf.text()) ?? null,
    system: r.at("system").optional((s) => s.text()) ?? "",
    sampling: r.at("sampling").optional(readSampling) ?? {},
    model: r.at("model").optional((m) => m.text()) ?? "",
  };
}

const readNumbers = (r: Reader) => Object.fromEntries(r.entries().flatMap(([key, value]) => (value.missing ? [] : [[key, value.number()]])));

function readStatistics(r: Reader): Statistics {
  return {
    usage: r.at("usage").optional(readNumbers),
    timings: r.at("timings").optional(readNumbers),
    firstTokenSeconds: r.at("firstTokenSeconds").optional((n) => n.number()),
    tokensPerSecond: r.at("tokensPerSecond").optional((n) => n.number()),
  };
}

// An error report is not taken over: it was about a request that is long gone.
function readMessage(r: Reader, conversation: string): Message {
  const role = r.at("role").text();
  if (role !== "user" && role !== "assistant") throw new Error(`A message has the role "${role}"; this page knows user and assistant.`);
  return {
    id: r.at("id").text(),
    conversation,
    parent: r.at("parent").optional((p) => p.text()) ?? null,
    role,
    content: r.at("content").text(),
    created: r.at("created").number(),
    model: r.at("model").optional((m) => m.text()),
    finish: r.at("finish").optional((f) => f.text()),
    statistics: r.at("statistics").optional(readStatistics),
  };
}

function readToken(r: Reader): Token {
  const one = (t: Reader) => ({ token: t.at("token").text(), logprob: t.at("logprob").number() });
  return { ...one(r), alternatives: r.at("alternatives").list().map(one) };
}

// A tree: every parent is there, and every message leads to the root.
function checkTree(messages: Message[]): void {
  const parents = new Map(messages.map((m) => [m.id, m.parent]));
  if (parents.size !== messages.length) throw new Error("Two messages of one conversation have the same id.");
  const rooted = new Set<string>();
  for (const { id } of messages) {
    const way = new Set<string>();
    for (let at: string | null = id; at !== null && !rooted.has(at); ) {
      if (way.has(at)) throw new Error("The messages of a conversation lead in a circle.");
      way.add(at);
      const parent = parents.get(at);
      if (parent === undefined) throw new Error("A message names a parent that is not in the file.");
      at = parent;
    }
    for (const seen of way) rooted.add(seen);
  }
}

const newest = (messages: Message[]) => messages.reduce<Message | undefined>((best, m) => (best && best.created > m.created ? best : m), undefined);

function readOne(r: Reader): Bundle {
  const conversation = readConversation(r.at("conversation"));
  const messages = r.at("messages").list().map((m) => readMessage(m, conversation.id));
  checkTree(messages);
  const ids = new Set(messages.map((m) => m.id));
  if (conversation.leaf === null || !ids.has(conversation.leaf)) conversation.leaf = newest(messages)?.id ?? null;
  const tokens: Bundle["tokens"] = {};
  for (const [id, list] of r.at("tokens").optional((t) => t.entries()) ?? []) {
    if (ids.has(id)) tokens[id] = list.list().map(readToken);
  }
  for (const message of messages) if (Object.hasOwn(tokens, message.id)) message.hasTokens = true;
  return { conversation, messages, tokens };
}

// Throws an Error with one sentence for the user.
export function parseImport(text: string): Bundle[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("The file is not JSON. Choose one that was exported by this page.");
  }
  const file = new Reader(json, "The file");
  if (file.at("format").optional((f) => f.text()) !== kFormat) throw new Error(`The file is not an export of conversations (format "${kFormat}").`);
  const version = file.at("version").number();
  if (version !== kVersion) throw new Error(`The file has version ${version} of the format; this page reads version ${kVersion}.`);
  return file.at("conversations").list().map(readOne);
}

// The same conversation with new ids for its messages, which can then replace none that are here.
function copyOf({ conversation, messages, tokens }: Bundle, id: string): Bundle {
  const ids = new Map(messages.map((m) => [m.id, newId()]));
  const renamed = (old: string | null) => (old === null ? null : (ids.get(old) ?? null));
  return {
    conversation: { ...conversation, id, leaf: renamed(conversation.leaf) },
    messages: messages.map((m) => ({ ...m, id: renamed(m.id)!, conversation: id, parent: renamed(m.parent) })),
    tokens: Object.fromEntries(Object.entries(tokens).map(([old, list]) => [renamed(old)!, list])),
  };
}

export async function importBundles(store: ConversationStore, bundles: Bundle[]): Promise<ImportResult> {
  const result = { imported: 0, skipped: 0 };
  for (const bundle of bundles) {
    const here = await store.conversation(bundle.conversation.id);
    if (here && here.updated === bundle.conversation.updated) {
      ++result.skipped;
      continue;
    }
    await store.putBundle(copyOf(bundle, here ? newId() : bundle.conversation.id));
    ++result.imported;
  }
  return result;
}

export async function exportAll(store: ConversationStore, ids: string[]): Promise<string> {
  const bundles: Bundle[] = [];
  for (const id of ids) {
    const bundle = await readBundle(store, id);
    if (bundle) bundles.push(bundle);
  }
  return exportText(bundles);
}
