// Reads and writes conversations. Where the browser offers no IndexedDB (some private windows), they live in memory, as long as the page.
import type { Token } from "../api/types";
import type { Conversation, Message } from "../chat/conversation";
import { openDatabase, type Database } from "./database";

// A conversation with all that belongs to it: what is exported, imported, and kept for undoing a deletion.
export interface Bundle {
  conversation: Conversation;
  messages: Message[];
  tokens: Record<string, Token[]>; // by message
}

export interface Hit {
  conversation: string;
  message: string;
  excerpt: string;
}

export interface ConversationStore {
  readonly persistent: boolean;
  conversations(): Promise<Conversation[]>;
  conversation(id: string): Promise<Conversation | undefined>;
  messages(conversation: string): Promise<Message[]>;
  tokens(message: string): Promise<Token[]>;
  putConversation(conversation: Conversation): Promise<void>;
  putMessage(message: Message, tokens?: Token[]): Promise<void>;
  putBundle(bundle: Bundle): Promise<void>;
  removeMessage(id: string): Promise<void>;
  removeConversation(id: string): Promise<void>;
  search(words: string, limit: number): Promise<Hit[]>; // at most one hit for each conversation
}

const kExcerptBefore = 24, kExcerptLength = 90;

export function excerptOf(content: string, words: string): string | undefined {
  const at = content.toLowerCase().indexOf(words.toLowerCase());
  if (at < 0) return undefined;
  const begin = Math.max(0, at - kExcerptBefore);
  return (begin > 0 ? "\u2026" : "") + content.slice(begin, begin + kExcerptLength).replace(/\s+/g, " ");
}

class IndexedStore implements ConversationStore {
  readonly persistent = true;
  constructor(private readonly database: Database) {}

  conversations = () => this.database.getAll("conversations");
  conversation = (id: string) => this.database.get("conversations", id);
  messages = (conversation: string) => this.database.getAllFromIndex("messages", "conversation", conversation);
  tokens = async (message: string) => (await this.database.get("tokens", message))?.tokens ?? [];

  async putConversation(conversation: Conversation): Promise<void> {
    await this.database.put("conversations", conversation);
  }

  async putMessage(message: Message, tokens?: Token[]): Promise<void> {
    const write = this.database.transaction(["messages", "tokens"], "readwrite");
    await write.objectStore("messages").put(message);
    if (tokens?.length) await write.objectStore("tokens").put({ message: message.id, tokens });
    await write.done;
  }

  async putBundle({ conversation, messages, tokens }: Bundle): Promise<void> {
    const write = this.database.transaction(["conversations", "messages", "tokens"], "readwrite");
    void write.objectStore("conversations").put(conversation);
    for (const message of messages) void write.objectStore("messages").put(message);
    for (const [message, list] of Object.entries(tokens)) void write.objectStore("tokens").put({ message, tokens: list });
    await write.done;
  }

  async removeMessage(id: string): Promise<void> {
    const write = this.database.transaction(["messages", "tokens"], "readwrite");
    void write.objectStore("messages").delete(id);
    void write.objectStore("tokens").delete(id);
    await write.done;
  }

  async removeConversation(id: string): Promise<void> {
    const write = this.database.transaction(["conversations", "messages", "tokens"], "readwrite");
    const keys = await write.objectStore("messages").index("conversation").getAllKeys(id);
    void write.objectStore("conversations").delete(id);
    for (const key of keys) {
      void write.objectStore("messages").delete(key);
      void write.objectStore("tokens").delete(key);
    }
    await write.done;
  }

  async search(words: string, limit: number): Promise<Hit[]> {
    const hits = new Map<string, Hit>();
    let cursor = await this.database.transaction("messages").store.openCursor();
    for (; cursor && hits.size < limit; cursor = await cursor.continue()) {
      const { id, conversation, content } = cursor.value;
      const excerpt = hits.has(conversation) ? undefined : excerptOf(content, words);
      if (excerpt !== undefined) hits.set(conversation, { conversation, message: id, excerpt });
    }
    return [...hits.values()];
  }
}

class MemoryStore implements ConversationStore {
  readonly persistent = false;
  private readonly conversationById = new Map<string, Conversation>();
  private readonly messageById = new Map<string, Message>();
  private readonly tokensById = new Map<string, Token[]>();

  conversations = async () => [...this.conversationById.values()];
  conversation = async (id: string) => this.conversationById.get(id);
  messages = async (conversation: string) => [...this.messageById.values()].filter((m) => m.conversation === conversation);
  tokens = async (message: string) => this.tokensById.get(message) ?? [];

  async putConversation(conversation: Conversation): Promise<void> {
    this.conversationById.set(conversation.id, conversation);
  }

  async putMessage(message: Message, tokens?: Token[]): Promise<void> {
    this.messageById.set(message.id, message);
    if (tokens?.length) this.tokensById.set(message.id, tokens);
  }

  async putBundle({ conversation, messages, tokens }: Bundle): Promise<void> {
    await this.putConversation(conversation);
    for (const message of messages) await this.putMessage(message, tokens[message.id]);
  }

  async removeMessage(id: string): Promise<void> {
    this.messageById.delete(id);
    this.tokensById.delete(id);
  }

  async removeConversation(id: string): Promise<void> {
    for (const message of await this.messages(id)) await this.removeMessage(message.id);
    this.conversationById.delete(id);
  }

  async search(words: string, limit: number): Promise<Hit[]> {
    const hits = new Map<string, Hit>();
    for (const { id, conversation, content } of this.messageById.values()) {
      const excerpt = hits.has(conversation) || hits.size === limit ? undefined : excerptOf(content, words);
      if (excerpt !== undefined) hits.set(conversation, { conversation, message: id, excerpt });
    }
    return [...hits.values()];
  }
}

export async function openStore(name: string, onOutdated: () => void): Promise<ConversationStore> {
  try {
    const database = await openDatabase(name, onOutdated);
    await database.count("conversations"); // a damaged store fails here, not later
    return new IndexedStore(database);
  } catch {
    return new MemoryStore();
  }
}

export async function readBundle(store: ConversationStore, id: string): Promise<Bundle | undefined> {
  const conversation = await store.conversation(id);
  if (!conversation) return undefined;
  const messages = await store.messages(id);
  const tokens: Bundle["tokens"] = {};
  for (const message of messages) if (message.hasTokens) tokens[message.id] = await store.tokens(message.id);
  return { conversation, messages, tokens };
}
