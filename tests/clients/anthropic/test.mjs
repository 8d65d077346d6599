// Anthropic's own client, its current major and the one before.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import Anthropic1 from "@anthropic-ai/sdk";
import Anthropic0 from "@anthropic-ai/sdk-0";
import { isIdle, kKey, startServer } from "../support/fathom.mjs";

const ask = { model: "bundled", system: "You are a king.", messages: [{ role: "user", content: "Who are you?" }], max_tokens: 24, temperature: 0 };
const weather = {
  name: "weather",
  description: "of a city",
  input_schema: { type: "object", properties: { city: { type: "string", maxLength: 6 }, days: { type: "integer", minimum: 1, maximum: 7 } }, required: ["city", "days"], additionalProperties: false },
};

for (const [name, Anthropic] of [["@anthropic-ai/sdk 1", Anthropic1], ["@anthropic-ai/sdk 0", Anthropic0]])
  describe(name, () => {
    let server, client;
    before(async () => {
      server = await startServer();
      client = new Anthropic({ baseURL: server.url, apiKey: kKey, maxRetries: 0 });
    });
    after(async () => assert.equal(await server.stop(), 0));

    test("a message, whole and streamed, is the same text", async () => {
      const whole = await client.messages.create(ask);
      assert.equal(whole.content[0].type, "text");
      const deltas = [];
      const stream = client.messages.stream(ask).on("text", (delta) => deltas.push(delta));
      const final = await stream.finalMessage();
      assert.equal(final.content[0].text, whole.content[0].text);
      assert.equal(deltas.join(""), whole.content[0].text);
      assert.equal(final.stop_reason, whole.stop_reason);
      const read = (usage) => usage.input_tokens + usage.cache_read_input_tokens;
      assert.deepEqual([read(final.usage), final.usage.output_tokens], [read(whole.usage), whole.usage.output_tokens]);
      const counted = await client.messages.countTokens({ model: ask.model, system: ask.system, messages: ask.messages });
      assert.equal(counted.input_tokens, read(whole.usage));
    });

    test("stop sequences", async () => {
      const { text } = (await client.messages.create(ask)).content[0];
      const stopped = await client.messages.create({ ...ask, stop_sequences: [text.slice(5, 9)] });
      assert.deepEqual([stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text], ["stop_sequence", text.slice(5, 9), text.slice(0, text.indexOf(text.slice(5, 9)))]);
    });

    test("a tool is used, whole and streamed, and its result is read", async () => {
      const used = { ...ask, max_tokens: 200, tools: [weather], tool_choice: { type: "any" } };
      const whole = await client.messages.create(used);
      assert.equal(whole.stop_reason, "tool_use");
      const use = whole.content.find((block) => block.type === "tool_use");
      assert.ok(use.input.days >= 1 && use.input.days <= 7, JSON.stringify(use.input));
      const streamed = await client.messages.stream(used).finalMessage();
      assert.deepEqual(streamed.content.find((block) => block.type === "tool_use").input, use.input);
      const answer = await client.messages.create({ ...ask, tools: [weather], tool_choice: { type: "none" },
        messages: [...ask.messages, { role: "assistant", content: whole.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "sunny" }] }] });
      assert.ok(answer.content[0].text.length > 0);
    });

    test("errors are of the class that the client has for them", async () => {
      await assert.rejects(client.messages.create({ ...ask, temperature: 9 }), Anthropic.BadRequestError);
      await assert.rejects(client.messages.create({ ...ask, model: "claude" }), Anthropic.NotFoundError);
      await assert.rejects(new Anthropic({ baseURL: server.url, apiKey: "sk-wrong", maxRetries: 0 }).messages.create(ask), (e) => e instanceof Anthropic.AuthenticationError && e.error.type === "error");
    });

    test("an abort frees the sequence", async () => {
      const stream = await client.messages.create({ ...ask, max_tokens: 450, stream: true });
      for await (const event of stream) if (event.type === "content_block_delta") break;
      await isIdle(server);
    });
  });
