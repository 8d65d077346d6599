// What a person does in a conversation: send, stop, ask again, edit, choose a branch.
import { batch } from "@preact/signals";
import { streamChat } from "../api/client";
import { ServerError } from "../api/server_error";
import type { ChatTurn, Token } from "../api/types";
import { apiKey, defaults } from "../store/preferences";
import { newId, type Conversation, type Message } from "./conversation";
import { Generation } from "./generation";
import { makeConversation, saveConversation, store, tellOtherTabs, written } from "./library";
import { greet, noteFailure } from "./server";
import { announcement, connection, conversations, current, generation, generations, models, path, revision, server, target, tree } from "./state";

const kSaveEvery = 3000; // milliseconds, while an answer arrives
const kSpokenLength = 1500; // characters of an answer that a screen reader is given at once

function putMessage(message: Message): void {
  tree.value.put(message);
  ++revision.value;
}

function makeMessage(conversation: string, parent: string | null, role: Message["role"], content: string): Message {
  return { id: newId(), conversation, parent, role, content, created: Date.now() };
}

export async function send(text: string): Promise<void> {
  if (!text.trim() || generation.value) return;
  const conversation = current.value ?? makeConversation(text);
  await ask(conversation, makeMessage(conversation.id, conversation.leaf, "user", text));
}

// A changed question becomes a branch beside the old one.
export async function resend(old: Message, text: string): Promise<void> {
  if (!current.value || !text.trim() || generation.value) return;
  await ask(current.value, makeMessage(old.conversation, old.parent, "user", text));
}

async function ask(conversation: Conversation, question: Message): Promise<void> {
  const asked = { ...conversation, leaf: question.id };
  batch(() => {
    current.value = asked;
    target.value = null;
    putMessage(question);
  });
  const saved = written(store.putMessage(question));
  await answer(asked, question);
  await saved;
}

// Another answer beside `old`; one that failed before its first word is replaced.
export async function regenerate(old: Message): Promise<void> {
  const question = old.parent === null ? undefined : tree.value.get(old.parent);
  const conversation = current.value;
  if (!question || !conversation || generation.value) return;
  if (old.content === "") {
    tree.value.removeLeaf(old.id);
    await written(store.removeMessage(old.id));
  }
  await answer(conversation, question);
}

export function stop(): void {
  generation.value?.stop();
}

export async function chooseBranch(message: Message, steps: number): Promise<void> {
  const next = tree.value.neighbour(message, steps);
  if (!next || !current.value || generation.value) return;
  await saveConversation({ ...current.value, leaf: tree.value.newestLeaf(next.id) });
}

export function modelOf(conversation: Conversation | null): string {
  const wanted = conversation ? conversation.model : defaults.value.model;
  return models.value.includes(wanted) ? wanted : (models.value[0] ?? server.value.model ?? "");
}

// Settings of the conversation, or, before its first message, of the next ones.
export async function changeSettings(change: Partial<Pick<Conversation, "system" | "sampling" | "model">>): Promise<void> {
  if (current.value) await saveConversation({ ...current.value, ...change });
  else defaults.value = { ...defaults.value, ...change };
}

export function useAsDefaults(conversation: Conversation): void {
  const { system, sampling, model } = conversation;
  defaults.value = structuredClone({ system, sampling, model });
}

// What was said up to `last`.
function turnsOf(conversation: Conversation, last: Message): ChatTurn[] {
  const turns: ChatTurn[] = conversation.system.trim() ? [{ role: "system", content: conversation.system }] : [];
  for (const { role, content } of tree.value.path(last.id)) if (content !== "") turns.push({ role, content });
  return turns;
}

async function answer(conversation: Conversation, question: Message): Promise<void> {
  const message = { ...makeMessage(conversation.id, question.id, "assistant", ""), model: modelOf(conversation) };
  await run(conversation, message, turnsOf(conversation, question));
}

// More of an answer that was cut: the server goes on with an assistant's message that stands last.
export async function goOn(old: Message): Promise<void> {
  const conversation = current.value;
  if (!conversation || generation.value || conversation.leaf !== old.id) return;
  const tokens = old.hasTokens ? await store.tokens(old.id) : [];
  const message = { ...old, model: modelOf(conversation), finish: undefined, error: undefined };
  await run(conversation, message, turnsOf(conversation, old), tokens);
}

async function run(conversation: Conversation, message: Message, turns: ChatTurn[], tokens: Token[] = []): Promise<void> {
  const running = new Generation(message, tokens);
  const request = { model: message.model ?? "", turns, sampling: conversation.sampling };
  batch(() => {
    putMessage(message);
    current.value = { ...conversation, leaf: message.id };
    generations.value = new Map(generations.value).set(conversation.id, running);
    announcement.value = "The answer is being written.";
  });
  const keep = () => written(store.putMessage({ ...message, content: running.content.peek(), finish: "stopped" }));
  const saved = Promise.all([keep(), saveConversation({ ...conversation, leaf: message.id }, true)]);
  const saving = setInterval(() => void keep(), kSaveEvery);
  const outcome = await running.run(streamChat(request, apiKey.value, running.signal));
  clearInterval(saving);
  await saved;
  await settle(running, outcome);
}

async function settle(running: Generation, outcome: Awaited<ReturnType<Generation["run"]>>): Promise<void> {
  const { tokens, ...rest } = outcome;
  const message: Message = { ...running.message, ...rest, hasTokens: tokens.length > 0 };
  message.model = outcome.model ?? running.message.model;
  if (conversations.value.some((c) => c.id === message.conversation)) await written(store.putMessage(message, tokens));
  batch(() => {
    const others = new Map(generations.value);
    others.delete(message.conversation);
    generations.value = others;
    if (current.value?.id === message.conversation) putMessage(message);
    announcement.value = outcome.error ? "The answer could not be completed." : spoken(message.content);
  });
  tellOtherTabs(message.conversation);
  noteOutcome(outcome);
}

const spoken = (content: string) => (content.length > kSpokenLength ? content.slice(0, kSpokenLength) + " \u2026" : content) || "The answer is empty.";

function noteOutcome({ error }: { error?: ServerError["report"] }): void {
  if (error) noteFailure(new ServerError(error));
  else if (connection.value !== "good") void greet();
}

export function lastQuestion(): Message | undefined {
  return path.value.findLast((m) => m.role === "user");
}

export function lastAnswer(): Message | undefined {
  return path.value.findLast((m) => m.role === "assistant");
}
