import { describe, expect, it } from "vitest";
import { requestBody } from "../../src/api/client";
import { parseModels, parsePart, parseProps } from "../../src/api/parse";
import { errorFromBody, errorWords, retrySeconds, ServerError } from "../../src/api/server_error";

describe("parsePart", () => {
  it("reads text, tokens with alternatives, and the end", () => {
    const part = parsePart(
      JSON.stringify({
        model: "m",
        choices: [{ index: 0, delta: { content: "hi" }, finish_reason: "stop", logprobs: { content: [{ token: "hi", logprob: -0.5, bytes: [104], top_logprobs: [{ token: "hi", logprob: -0.5 }, { token: "ho", logprob: -1 }, { bad: 1 }] }] } }],
      }),
    );
    expect(part).toMatchObject({ text: "hi", finish: "stop", model: "m" });
    expect(part.tokens).toEqual([{ token: "hi", logprob: -0.5, alternatives: [{ token: "hi", logprob: -0.5 }, { token: "ho", logprob: -1 }] }]);
  });

  it("reads usage, timings and progress", () => {
    const part = parsePart(JSON.stringify({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, prompt_tokens_details: { cached_tokens: 2 } }, timings: { kv_cache_tokens: 9, prompt_seconds: "x" }, prompt_progress: { processed: 5, total: 4 } }));
    expect(part.usage).toEqual({ prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, cached_tokens: 2 });
    expect(part.timings).toMatchObject({ kv_cache_tokens: 9, prompt_seconds: undefined });
    expect(part.progress).toEqual({ processed: 4, total: 4 });
  });

  it.each(["{}", "null", "[]", "1", '{"choices":null}', '{"choices":[null]}', '{"choices":[{"delta":{"content":7}}]}', '{"usage":null,"timings":[],"prompt_progress":{"total":0}}'])("takes %s for a part without text", (data) => {
    expect(parsePart(data)).toMatchObject({ text: "", tokens: [] });
  });

  it("reads an answer that was not streamed", () => {
    expect(parsePart('{"choices":[{"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}').text).toBe("whole");
  });

  it("throws the server's error, and one for what is not JSON", () => {
    expect(() => parsePart('{"error":{"message":"no","type":"t","param":null,"code":"context_length_exceeded"}}')).toThrow(ServerError);
    expect(() => parsePart("{")).toThrow("not JSON");
  });
});

describe("errors", () => {
  it.each([
    [401, {}, "unauthorized"],
    [403, {}, "forbidden"],
    [404, {}, "unknown_model"],
    [429, {}, "busy"],
    [503, {}, "unavailable"],
    [400, {}, "refused"],
    [500, {}, "failed"],
    [400, { error: { message: "m", code: "context_length_exceeded" } }, "too_long"],
    [0, { error: { message: "m", code: 503 } }, "unavailable"],
    [502, "<html>", "failed"],
  ])("status %i with %j is %s", (status, body, kind) => {
    const { report } = errorFromBody(status, body);
    expect(report.kind).toBe(kind);
    expect(errorWords(report).title).toMatch(/\.$/);
  });

  it("names the parameter", () => {
    expect(errorFromBody(400, { error: { message: "too large", param: "top_k" } }).report.detail).toBe("too large (top_k)");
  });

  it("reads Retry-After as seconds or as a date", () => {
    const now = Date.parse("2026-11-30T12:00:00Z");
    expect(retrySeconds("7", now)).toBe(7);
    expect(retrySeconds("Mon, 30 Nov 2026 12:00:30 GMT", now)).toBe(30);
    expect(retrySeconds("Mon, 30 Nov 2026 11:00:30 GMT", now)).toBeUndefined();
    expect(retrySeconds("99999999", now)).toBe(3600);
    for (const bad of [null, "", "soon", "-5"]) expect(retrySeconds(bad, now)).toBeUndefined();
  });
});

describe("requests", () => {
  const turns = [{ role: "user" as const, content: "x" }];

  it("sends only what was set", () => {
    expect(requestBody({ model: "", turns, sampling: {} })).toEqual({ messages: turns, stream: true, stream_options: { include_usage: true }, return_progress: true });
  });

  it("spells settings as the API does", () => {
    const body = requestBody({ model: "m", turns, sampling: { temperature: 0, top_k: 5, stop: ["\n"], alternatives: 0, seed: undefined } });
    expect(body).toMatchObject({ model: "m", temperature: 0, top_k: 5, stop: ["\n"], logprobs: true, top_logprobs: 0 });
    expect(body).not.toHaveProperty("seed");
    expect(body).not.toHaveProperty("alternatives");
  });
});

describe("server", () => {
  it("lists models by id, and ignores what has none", () => {
    expect(parseModels({ data: [{ id: "a/b" }, {}, null, { id: 3 }] })).toEqual(["a/b"]);
    for (const nothing of [null, [], "x", { data: {} }]) expect(parseModels(nothing)).toEqual([]);
  });

  it("finds the context under its several names", () => {
    expect(parseProps({ model: "m", context_length: 512, version: "1" })).toEqual({ model: "m", context: 512, version: "1", defaults: {}, answers: true });
    expect(parseProps({ default_generation_settings: { n_ctx: 99 }, model_path: "/models/x.gguf" })).toMatchObject({ context: 99, model: "x.gguf" });
    expect(parseProps(null)).toEqual({ defaults: {}, answers: true });
    expect(parseProps({ has_chat_template: false, default_generation_settings: { temperature: 0.3, top_k: "x" } })).toMatchObject({ answers: false, defaults: { temperature: 0.3 } });
  });
});
