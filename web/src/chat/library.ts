// The conversations of this browser: opening, naming, deleting, searching, moving in and out.
import { batch } from "@preact/signals";
import { openStore, readBundle, type ConversationStore } from "../store/conversation_store";
import { defaults } from "../store/preferences";
import { exportAll, importBundles, parseImport } from "../store/transfer";
import { MessageTree, newId, titleFrom, type Conversation } from "./conversation";
import { conversations, current, drawerOpen, generations, hits, notice, persistent, revision, searchWords, target, tree } from "./state";

const kMostHits = 50;

export let store: ConversationStore;

const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel("fathom");

// To the other tabs of this page: the store has changed. `answered` names the conversation whose answer is now complete.
export function tellOtherTabs(answered = ""): void {
  channel?.postMessage(answered);
}

function say(text: string): void {
  notice.value = { text };
}

// Waits for a write. A browser that has no room left refuses it: what is on the screen goes on, and the user is told.
export async function written(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    const full = error instanceof DOMException && error.name === "QuotaExceededError";
    say(full ? "This browser has no room left: what is new here will not be kept. Export or delete conversations." : `This browser could not store the conversation: ${String(error)}`);
  }
}

export async function openLibrary(name = "fathom"): Promise<void> {
  store = await openStore(name, () => say("Another tab has a newer version of this page. Reload this one."));
  persistent.value = store.persistent;
  await refreshList();
  channel?.addEventListener("message", (event: MessageEvent<unknown>) => void followOtherTab(event.data));
}

// The list changes, and what is open here, unless it is being written here too.
async function followOtherTab(answered: unknown): Promise<void> {
  await refreshList();
  const open = current.value;
  if (!open || generations.value.has(open.id)) return;
  if (!conversations.value.some((c) => c.id === open.id)) newConversation();
  else if (open.id === answered) await openConversation(open.id);
}

export async function refreshList(): Promise<void> {
  conversations.value = (await store.conversations()).sort((a, b) => b.updated - a.updated);
}

export function newConversation(): void {
  batch(() => {
    current.value = null;
    tree.value = new MessageTree();
    target.value = null;
    drawerOpen.value = false;
    ++revision.value;
  });
}

export async function openConversation(id: string, message?: string): Promise<void> {
  const conversation = conversations.value.find((c) => c.id === id);
  if (!conversation) return;
  const messages = new MessageTree(await store.messages(id));
  const running = generations.value.get(id)?.message;
  if (running) messages.put(running);
  const leaf = message ? messages.newestLeaf(message) : conversation.leaf;
  batch(() => {
    tree.value = messages;
    current.value = { ...conversation, leaf };
    target.value = message ?? null;
    drawerOpen.value = false;
    ++revision.value;
  });
}

// Writes a conversation, and moves it to the top of the list when `touch` says that something was said in it.
export async function saveConversation(conversation: Conversation, touch = false): Promise<void> {
  const saved = touch ? { ...conversation, updated: Date.now() } : conversation;
  batch(() => {
    if (current.value?.id === saved.id) current.value = saved;
    const others = conversations.value.filter((c) => c.id !== saved.id);
    conversations.value = [...others, saved].sort((a, b) => b.updated - a.updated);
  });
  await written(store.putConversation(saved));
  tellOtherTabs();
}

export function makeConversation(firstText: string): Conversation {
  const now = Date.now();
  return { id: newId(), title: titleFrom(firstText), created: now, updated: now, leaf: null, ...structuredClone(defaults.value) };
}

export async function rename(conversation: Conversation, title: string): Promise<void> {
  if (title.trim()) await saveConversation({ ...conversation, title: title.trim() });
}

export async function remove(conversation: Conversation): Promise<void> {
  generations.value.get(conversation.id)?.stop();
  const bundle = await readBundle(store, conversation.id);
  await store.removeConversation(conversation.id);
  if (current.value?.id === conversation.id) newConversation();
  await refreshList();
  tellOtherTabs();
  const undo = async () => {
    if (bundle) await written(store.putBundle(bundle));
    await refreshList();
    tellOtherTabs();
  };
  notice.value = { text: `\u201c${conversation.title}\u201d was deleted.`, action: { label: "Undo", run: () => void undo() } };
}

export async function removeAll(): Promise<void> {
  for (const running of generations.value.values()) running.stop();
  for (const { id } of conversations.value) await store.removeConversation(id);
  newConversation();
  await refreshList();
  tellOtherTabs();
  say("All conversations were deleted.");
}

let searches = 0;

export async function search(words: string): Promise<void> {
  searchWords.value = words;
  const mine = ++searches;
  const found = words.trim() ? await store.search(words.trim(), kMostHits) : null;
  if (mine === searches) hits.value = found; // an older search may end later
}

function download(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export async function exportConversations(ids: string[]): Promise<void> {
  download(`fathom-${new Date().toISOString().slice(0, 10)}.json`, await exportAll(store, ids));
}

export async function importFile(file: File): Promise<void> {
  try {
    const { imported, skipped } = await importBundles(store, parseImport(await file.text()));
    await refreshList();
    tellOtherTabs();
    say(`${imported} imported` + (skipped ? `, ${skipped} already here.` : "."));
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}
