// What the page shows. Components read these signals; only the functions of actions.ts, branches.ts and server.ts change them.
import { computed, signal } from "@preact/signals";
import type { ErrorReport } from "../api/server_error";
import type { ServerInfo } from "../api/types";
import type { Hit } from "../store/conversation_store";
import { MessageTree, type Conversation } from "./conversation";
import type { Generation } from "./generation";

export const conversations = signal<Conversation[]>([]); // newest first
export const current = signal<Conversation | null>(null); // null: a conversation that has no message yet
export const generations = signal<ReadonlyMap<string, Generation>>(new Map()); // by conversation
export const persistent = signal(true);

// The tree changes in place; `revision` tells who shows it.
export const tree = signal(new MessageTree());
export const revision = signal(0);

export const path = computed(() => {
  void revision.value;
  return tree.value.path(current.value?.leaf ?? null);
});

export const generation = computed(() => (current.value ? generations.value.get(current.value.id) : undefined));

export const models = signal<string[]>([]);
export const server = signal<ServerInfo>({ defaults: {}, answers: true });
export const connection = signal<"unknown" | "good" | "lost">("unknown");
export const connectionError = signal<ErrorReport | null>(null);

export const searchWords = signal("");
export const hits = signal<Hit[] | null>(null); // null: no search

export type Panel = "settings" | "shortcuts" | null;
export const panel = signal<Panel>(null);
export const drawerOpen = signal(false); // the list of conversations on a narrow screen

export interface Notice {
  text: string;
  action?: { label: string; run: () => void };
}
export const notice = signal<Notice | null>(null);
export const announcement = signal(""); // for screen readers

// A message that the list should bring into view, set by the search.
export const target = signal<string | null>(null);
export const editing = signal<string | null>(null); // the question that is being changed
export const focusKey = signal(0); // counts the wishes to type an API key
