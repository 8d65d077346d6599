import { describe, expect, it } from "vitest";
import { MessageTree, newId, titleFrom, type Message } from "../../src/chat/conversation";

const message = (id: string, parent: string | null, created = Number(id.slice(1))): Message => ({ id, parent, conversation: "c", role: "user", content: id, created });
const ids = (messages: Message[]) => messages.map((m) => m.id).join(" ");

//      m1
//     /  \
//   m2    m4
//    |   / | \
//   m3  m5 m6 m7
const tree = () => new MessageTree([message("m1", null), message("m2", "m1"), message("m3", "m2"), message("m4", "m1"), message("m7", "m4"), message("m5", "m4"), message("m6", "m4")]);

describe("MessageTree", () => {
  it("shows the path to a leaf", () => {
    expect(ids(tree().path("m3"))).toBe("m1 m2 m3");
    expect(ids(tree().path("m6"))).toBe("m1 m4 m6");
    expect(tree().path(null)).toEqual([]);
    expect(tree().path("gone")).toEqual([]);
  });

  it("orders siblings by time, whatever the order of reading", () => {
    expect(ids(tree().siblings(message("m5", "m4")))).toBe("m5 m6 m7");
  });

  it("goes to neighbours and stops at both ends", () => {
    const t = tree();
    expect(t.neighbour(t.get("m6")!, 1)?.id).toBe("m7");
    expect(t.neighbour(t.get("m6")!, -1)?.id).toBe("m5");
    expect(t.neighbour(t.get("m5")!, -1)).toBeUndefined();
    expect(t.neighbour(t.get("m7")!, 1)).toBeUndefined();
  });

  it("opens a branch at its newest end", () => {
    expect(tree().newestLeaf("m1")).toBe("m7");
    expect(tree().newestLeaf("m2")).toBe("m3");
    expect(tree().newestLeaf("m3")).toBe("m3");
  });

  it("replaces a message that is put again", () => {
    const t = tree();
    t.put({ ...message("m6", "m4"), content: "new" });
    expect(t.size).toBe(7);
    expect(t.siblings(t.get("m5")!).map((m) => m.content)).toEqual(["m5", "new", "m7"]);
  });

  it("removes leaves only", () => {
    const t = tree();
    t.removeLeaf("m4");
    expect(t.size).toBe(7);
    t.removeLeaf("m7");
    expect(t.newestLeaf("m4")).toBe("m6");
    t.removeLeaf("gone");
    expect(t.size).toBe(6);
  });

  it("survives a circle and a missing parent", () => {
    const t = new MessageTree([message("m1", "m2"), message("m2", "m1"), message("m3", "gone")]);
    expect(t.path("m1")).toHaveLength(2);
    expect(["m1", "m2"]).toContain(t.newestLeaf("m1"));
    expect(ids(t.path("m3"))).toBe("m3");
  });

  it("holds a chain of 100,000 messages", () => {
    const t = new MessageTree(Array.from({ length: 100_000 }, (_, i) => message(`m${i + 1}`, i ? `m${i}` : null)));
    expect(t.path("m100000")).toHaveLength(100_000);
    expect(t.newestLeaf("m1")).toBe("m100000");
  });
});

describe("titles and ids", () => {
  it("takes the first line, in whole characters", () => {
    expect(titleFrom("  Hello \t world\nmore")).toBe("Hello world");
    expect(titleFrom("\n \n")).toBe("New conversation");
    const long = titleFrom("\u{1f600}".repeat(100));
    expect(Array.from(long)).toHaveLength(60);
    expect(long).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/);
  });

  it("makes ids that do not repeat", () => {
    expect(new Set(Array.from({ length: 1000 }, newId)).size).toBe(1000);
  });
});
