import { describe, expect, it } from "vitest";
import { ServerError } from "../../src/api/server_error";
import type { StreamPart } from "../../src/api/types";
import { Generation } from "../../src/chat/generation";

const message = { id: "m", conversation: "c", parent: null, role: "assistant" as const, content: "", created: 0 };
const part = (fields: Partial<StreamPart>): StreamPart => ({ text: "", tokens: [], ...fields });

async function* give(parts: (StreamPart | Error)[]): AsyncGenerator<StreamPart> {
  for (const p of parts) {
    if (p instanceof Error) throw p;
    yield p;
  }
}

describe("Generation", () => {
  it("gathers text, tokens, usage and the end", async () => {
    const token = { token: "a", logprob: -1, alternatives: [] };
    const generation = new Generation(message);
    const outcome = await generation.run(give([part({ progress: { processed: 1, total: 2 } }), part({ text: "a", tokens: [token] }), part({ text: "b" }), part({ finish: "length", usage: { total_tokens: 5 } })]));
    expect(outcome).toMatchObject({ content: "ab", tokens: [token], finish: "length", statistics: { usage: { total_tokens: 5 } } });
    expect(outcome.statistics.firstTokenSeconds).toBeGreaterThanOrEqual(0);
    expect(generation.content.value).toBe("ab");
    expect(generation.progress.value).toBeNull();
  });

  it("goes on after what a message holds", async () => {
    const token = (name: string) => ({ token: name, logprob: -1, alternatives: [] });
    const generation = new Generation({ ...message, content: "old " }, [token("old ")]);
    expect(generation.content.value).toBe("old ");
    const outcome = await generation.run(give([part({ text: "new", tokens: [token("new")] })]));
    expect(outcome.content).toBe("old new");
    expect(outcome.tokens.map((t) => t.token)).toEqual(["old ", "new"]);
  });

  it("takes the server's own speed", async () => {
    const outcome = await new Generation(message).run(give([part({ text: "a" }), part({ timings: { generated_tokens: 30, generated_seconds: 2 } })]));
    expect(outcome.statistics.tokensPerSecond).toBe(15);
  });

  it("keeps what had arrived before an error", async () => {
    const outcome = await new Generation(message).run(give([part({ text: "a" }), new ServerError({ kind: "interrupted", detail: "" })]));
    expect(outcome).toMatchObject({ content: "a", error: { kind: "interrupted" } });
  });

  it("says that it was stopped, not that it failed", async () => {
    const generation = new Generation(message);
    async function* endless(): AsyncGenerator<StreamPart> {
      for (let i = 0; ; ++i) {
        if (i === 3) generation.stop();
        generation.signal.throwIfAborted();
        yield part({ text: "x" });
      }
    }
    const outcome = await generation.run(endless());
    expect(outcome).toMatchObject({ content: "xxx", finish: "stopped" });
    expect(outcome.error).toBeUndefined();
  });

  it("turns any other error into a report", async () => {
    expect((await new Generation(message).run(give([new RangeError("odd")]))).error).toEqual({ kind: "failed", detail: "RangeError: odd" });
  });
});
