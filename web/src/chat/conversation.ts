// A conversation is a tree: editing a message or asking for another answer adds a sibling, and nothing is overwritten. What is on the
// screen is the path from the root to `leaf`.
import type { ErrorReport } from "../api/server_error";
import type { Sampling, Timings, Usage } from "../api/types";

export interface Statistics {
  usage?: Usage;
  timings?: Timings;
  firstTokenSeconds?: number; // both as this page saw them
  tokensPerSecond?: number;
}

export interface Message {
  id: string;
  conversation: string;
  parent: string | null;
  role: "user" | "assistant";
  content: string;
  created: number; // milliseconds since 1970
  model?: string;
  finish?: string; // the server's finish_reason, or "stopped" by the user
  statistics?: Statistics;
  error?: ErrorReport;
  hasTokens?: boolean; // log-probabilities are in the store
}

export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  leaf: string | null;
  system: string;
  sampling: Sampling;
  model: string; // "" means the server's first
}

export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID exists on secure origins only
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

const kTitleLength = 60;

export function titleFrom(text: string): string {
  const line = text.trim().split(/\s*\n/, 1)[0]?.replace(/\s+/g, " ") ?? "";
  const letters = Array.from(line.slice(0, 4 * kTitleLength));
  return (letters.length > kTitleLength ? letters.slice(0, kTitleLength - 1).join("").trimEnd() + "\u2026" : line) || "New conversation";
}

// The messages of one conversation, by id and by parent.
export class MessageTree {
  private byId = new Map<string, Message>();
  private byParent = new Map<string | null, Message[]>();

  constructor(messages: Iterable<Message> = []) {
    for (const message of messages) this.put(message);
  }

  get size(): number {
    return this.byId.size;
  }

  get(id: string): Message | undefined {
    return this.byId.get(id);
  }

  all(): Message[] {
    return [...this.byId.values()];
  }

  put(message: Message): void {
    const siblings = this.byParent.get(message.parent) ?? [];
    const place = siblings.findIndex((m) => m.id === message.id);
    if (place >= 0) siblings[place] = message;
    else siblings.push(message);
    siblings.sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
    this.byParent.set(message.parent, siblings);
    this.byId.set(message.id, message);
  }

  // A message without children.
  removeLeaf(id: string): void {
    const message = this.byId.get(id);
    if (!message || this.byParent.get(id)?.length) return;
    this.byId.delete(id);
    const rest = (this.byParent.get(message.parent) ?? []).filter((m) => m.id !== id);
    this.byParent.set(message.parent, rest);
  }

  siblings(message: Message): Message[] {
    return this.byParent.get(message.parent) ?? [];
  }

  // From the root to `leaf`; empty when there is no such message. Ends at a circle, which only a damaged file can hold.
  path(leaf: string | null): Message[] {
    const result: Message[] = [];
    const seen = new Set<string>();
    for (let at = leaf; at !== null && !seen.has(at); ) {
      const message = this.byId.get(at);
      if (!message) break;
      seen.add(at);
      result.push(message);
      at = message.parent;
    }
    return result.reverse();
  }

  // Where to go when a branch is chosen: the newest message below it.
  newestLeaf(id: string): string {
    let at = id;
    for (const seen = new Set<string>(); !seen.has(at); ) {
      seen.add(at);
      const next = this.byParent.get(at)?.at(-1);
      if (!next) break;
      at = next.id;
    }
    return at;
  }

  // The branch `steps` away from `message` among its siblings, or undefined at either end.
  neighbour(message: Message, steps: number): Message | undefined {
    const siblings = this.siblings(message);
    return siblings[siblings.findIndex((m) => m.id === message.id) + steps];
  }
}
