// Vercel's AI SDK through its provider for OpenAI-compatible servers.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { isIdle, kKey, startServer } from "../support/fathom.mjs";

let server, provider;
before(async () => {
  server = await startServer();
  provider = createOpenAICompatible({ name: "fathom", baseURL: server.v1, apiKey: kKey, includeUsage: true, supportsStructuredOutputs: true });
});
after(async () => assert.equal(await server.stop(), 0));

const ask = { system: "You are a king.", prompt: "Who are you?", temperature: 0, maxOutputTokens: 24 };
const Person = z.object({ name: z.string().max(8), age: z.number().int().min(0).max(99), tags: z.array(z.enum(["a", "b"])).max(3) });

test("generateText and streamText give one text, and the same usage", async () => {
  const whole = await generateText({ ...ask, model: provider("bundled") });
  const stream = streamText({ ...ask, model: provider("bundled") });
  let text = "";
  for await (const delta of stream.textStream) text += delta;
  assert.equal(text, whole.text);
  assert.equal(await stream.finishReason, whole.finishReason);
  const usage = await stream.usage;
  assert.equal(usage.outputTokens, whole.usage.outputTokens);
  assert.equal(usage.inputTokens, whole.usage.inputTokens);
  assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
});

test("stop sequences and seeds", async () => {
  const { text } = await generateText({ ...ask, model: provider("bundled") });
  const stopped = await generateText({ ...ask, model: provider("bundled"), stopSequences: [text.slice(4, 8)] });
  assert.equal(stopped.finishReason, "stop");
  assert.equal(stopped.text.trim(), text.slice(0, text.indexOf(text.slice(4, 8))).trim());
  const seeded = () => generateText({ ...ask, model: provider("bundled"), temperature: 1, topP: 0.9, seed: 11, presencePenalty: 0.5, frequencyPenalty: 0.5 });
  assert.equal((await seeded()).text, (await seeded()).text);
});

test("an object of a schema, whole and as it arrives", async () => {
  for (let seed = 0; seed < 3; ++seed) {
    const { output } = await generateText({ ...ask, model: provider("bundled"), temperature: 1, seed, maxOutputTokens: 300, output: Output.object({ schema: Person }) });
    Person.parse(output);
  }
  const stream = streamText({ ...ask, model: provider("bundled"), maxOutputTokens: 300, output: Output.object({ schema: Person }) });
  let last;
  for await (const partial of stream.partialOutputStream) last = partial;
  Person.parse(last);
});

test("a tool is called, its result is sent, and the model goes on", async () => {
  const seen = [];
  const weather = tool({ description: "of a city", inputSchema: z.object({ city: z.string().max(6), days: z.number().int().min(1).max(7) }), execute: async (given) => (seen.push(given), "sunny") });
  const { steps } = await generateText({ ...ask, model: provider("bundled"), maxOutputTokens: 120, tools: { weather }, toolChoice: "required", stopWhen: stepCountIs(2) });
  assert.ok(seen.length >= 1 && seen[0].days >= 1 && seen[0].days <= 7, JSON.stringify(seen));
  assert.equal(steps[0].finishReason, "tool-calls");
  assert.equal(steps.length, 2);
  const stream = streamText({ ...ask, model: provider("bundled"), maxOutputTokens: 120, tools: { weather }, toolChoice: { type: "tool", toolName: "weather" } });
  assert.deepEqual((await stream.toolCalls)[0].input, seen[0]);
});

test("the completion model", async () => {
  const whole = await generateText({ model: provider.completionModel("bundled"), prompt: "Once upon a time", temperature: 0, maxOutputTokens: 12 });
  assert.ok(whole.text.length > 0 && whole.usage.outputTokens === 12);
});

test("errors are an APICallError with status and message", async () => {
  const error = await generateText({ ...ask, model: provider("gpt-4o"), maxRetries: 0 }).then(() => assert.fail("no error"), (e) => e);
  assert.ok(APICallError.isInstance(error), `${error}`);
  assert.equal(error.statusCode, 404);
  assert.match(error.message, /no model/);
  assert.equal(error.isRetryable, false);
  const stranger = createOpenAICompatible({ name: "fathom", baseURL: server.v1, apiKey: "sk-wrong" });
  await assert.rejects(generateText({ ...ask, model: stranger("bundled"), maxRetries: 0 }), (e) => e.statusCode === 401);
});

test("an abort frees the sequence", async () => {
  const controller = new AbortController();
  const stream = streamText({ ...ask, model: provider("bundled"), maxOutputTokens: 450, abortSignal: controller.signal, providerOptions: { fathom: { ignore_eos: true } } });
  for await (const _ of stream.textStream) {
    controller.abort();
    break;
  }
  await isIdle(server);
});
