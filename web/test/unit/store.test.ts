import "fake-indexeddb/auto";
import { openDB } from "idb";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Conversation, Message } from "../../src/chat/conversation";
import { excerptOf, openStore, readBundle, type ConversationStore } from "../../src/store/conversation_store";
import { kSchemaVersion, openDatabase } from "../../src/store/database";
import { exportAll, importBundles, parseImport } from "../../src/store/transfer";

const conversation = (id: string): Conversation => ({ id, title: `title ${id}`, created: 1, updated: 2, leaf: `${id}-2`, system: "", sampling: { temperature: 0.5, stop: ["x"] }, model: "m" });
const message = (conversation: string, n: number, content: string): Message => ({ id: `${conversation}-${n}`, conversation, parent: n > 1 ? `${conversation}-${n - 1}` : null, role: n % 2 ? "user" : "assistant", content, created: n });
const tokens = [{ token: "a", logprob: -0.1, alternatives: [{ token: "b", logprob: -3 }] }];

async function fill(store: ConversationStore, id: string): Promise<void> {
  await store.putConversation(conversation(id));
  await store.putMessage(message(id, 1, "The Question"));
  await store.putMessage({ ...message(id, 2, "answer of " + id), hasTokens: true }, tokens);
}

let names = 0;
const kinds = {
  "in IndexedDB": () => openStore(`store-${++names}`, () => undefined),
  "in memory": async () => {
    const open = vi.spyOn(indexedDB, "open").mockImplementation(() => {
      throw new DOMException("not here", "SecurityError");
    });
    const store = await openStore("nowhere", () => undefined);
    open.mockRestore();
    return store;
  },
};

describe.each(Object.entries(kinds))("a store %s", (name, make) => {
  let store: ConversationStore;
  beforeEach(async () => {
    store = await make();
    await fill(store, "a");
    await fill(store, "b");
  });

  it("says whether it keeps things", () => {
    expect(store.persistent).toBe(name === "in IndexedDB");
  });

  it("gives back what was put, by conversation", async () => {
    expect((await store.conversations()).map((c) => c.id)).toEqual(["a", "b"]);
    expect((await store.messages("a")).map((m) => m.id)).toEqual(["a-1", "a-2"]);
    expect(await store.tokens("a-2")).toEqual(tokens);
    expect(await store.tokens("a-1")).toEqual([]);
  });

  it("removes a conversation with all that is its own, and nothing else", async () => {
    await store.removeConversation("a");
    expect(await store.messages("a")).toEqual([]);
    expect(await store.tokens("a-2")).toEqual([]);
    expect(await store.messages("b")).toHaveLength(2);
    expect(await store.tokens("b-2")).toEqual(tokens);
  });

  it("brings back what was deleted", async () => {
    const bundle = await readBundle(store, "a");
    await store.removeConversation("a");
    await store.putBundle(bundle!);
    expect(await readBundle(store, "a")).toEqual(bundle);
  });

  it("finds words in any case, once a conversation", async () => {
    expect((await store.search("QUESTION", 10)).map((h) => h.conversation)).toEqual(["a", "b"]);
    expect(await store.search("question", 1)).toHaveLength(1);
    expect(await store.search("answer of b", 10)).toEqual([{ conversation: "b", message: "b-2", excerpt: "answer of b" }]);
    expect(await store.search("nowhere", 10)).toEqual([]);
  });

  it("exports and imports everything, and skips what is here", async () => {
    const text = await exportAll(store, ["a", "b"]);
    expect(await importBundles(store, parseImport(text))).toEqual({ imported: 0, skipped: 2 });
    await store.removeConversation("a");
    expect(await importBundles(store, parseImport(text))).toEqual({ imported: 1, skipped: 1 });
    const [first, second] = (await store.messages("a")).sort((a, b) => a.created - b.created);
    expect(second).toMatchObject({ parent: first!.id, content: "answer of a", hasTokens: true });
    expect(await store.tokens(second!.id)).toEqual(tokens);
    expect(await store.conversation("a")).toMatchObject({ leaf: second!.id, sampling: { temperature: 0.5, stop: ["x"] } });
    expect(await store.messages("b")).toHaveLength(2);
  });

  it("imports a changed conversation beside the one that is here", async () => {
    const bundles = parseImport(await exportAll(store, ["a"]));
    bundles[0]!.conversation.updated = 99;
    await importBundles(store, bundles);
    expect(await store.conversations()).toHaveLength(3);
    expect(await store.messages("a")).toHaveLength(2);
  });
});

describe("an import", () => {
  const good = { format: "fathom-conversations", version: 1, conversations: [{ conversation: conversation("a"), messages: [message("a", 1, "x")], tokens: {} }] };
  const changed = (change: (file: typeof good) => void) => {
    const copy = structuredClone(good);
    change(copy);
    return JSON.stringify(copy);
  };

  it("takes a small one", () => {
    expect(parseImport(JSON.stringify(good))).toHaveLength(1);
  });

  it("goes to the newest message where the named leaf is missing", () => {
    expect(parseImport(JSON.stringify(good))[0]!.conversation.leaf).toBe("a-1");
  });

  it.each([
    ["", "not JSON"],
    ["null", "an object is needed"],
    ["[]", "an object is needed"],
    ["{}", "not an export"],
    [changed((f) => (f.version = 2)), "version 2"],
    [changed((f) => ((f.conversations as unknown) = {})), "a list is needed"],
    [changed((f) => ((f.conversations[0]!.messages[0]!.content as unknown) = 5)), "The file.conversations[0].messages[0].content is a number, but a text is needed"],
    [changed((f) => ((f.conversations[0]!.messages[0]!.role as unknown) = "root")), 'role "root"'],
    [changed((f) => (f.conversations[0]!.messages[0]!.parent = "gone")), "parent that is not in the file"],
    [changed((f) => (f.conversations[0]!.messages[0]!.parent = "a-1")), "circle"],
    [changed((f) => f.conversations[0]!.messages.push(message("a", 1, "again"))), "same id"],
    [changed((f) => ((f.conversations[0]!.conversation.sampling as unknown) = { top_k: "5" })), "a number is needed"],
  ])("refuses %.60s", (text, reason) => {
    expect(() => parseImport(text)).toThrow(reason);
  });

  it("takes nothing along that it does not know", () => {
    const text = changed((f) => Object.assign(f.conversations[0]!.messages[0]!, { error: { kind: "busy" }, __proto__: null, extra: "<script>" }));
    expect(parseImport(text)[0]!.messages[0]).not.toHaveProperty("extra");
    expect(parseImport(text)[0]!.messages[0]).not.toHaveProperty("error");
  });

  it("reads a chain of 20,000 messages", () => {
    const messages = Array.from({ length: 20_000 }, (_, i) => message("a", i + 1, "x"));
    expect(parseImport(changed((f) => (f.conversations[0]!.messages = messages)))[0]!.messages).toHaveLength(20_000);
  });
});

describe("the schema", () => {
  it("is made from nothing, and opened again as it is", async () => {
    const first = await openDatabase("schema", () => undefined);
    expect(first.version).toBe(kSchemaVersion);
    expect([...first.objectStoreNames]).toEqual(["conversations", "messages", "tokens"]);
    first.close();
    expect((await openDatabase("schema", () => undefined)).version).toBe(kSchemaVersion);
  });

  it("lets a newer page have the store, and says so", async () => {
    const outdated = vi.fn();
    await openDatabase("newer", outdated);
    const newer = await openDB("newer", kSchemaVersion + 1);
    expect(outdated).toHaveBeenCalledOnce();
    newer.close();
  });

  it("gives memory where the store is of a newer page", async () => {
    (await openDB("future", kSchemaVersion + 1)).close();
    expect((await openStore("future", () => undefined)).persistent).toBe(false);
  });
});

describe("excerpts", () => {
  it("show the words with what is around them", () => {
    expect(excerptOf("x".repeat(100) + " needle\n in hay", "NEEDLE")).toBe("\u2026" + "x".repeat(23) + " needle in hay");
    expect(excerptOf("nothing", "needle")).toBeUndefined();
  });
});
