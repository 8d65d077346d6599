// OpenAI's own client for JavaScript, its current major that Node 20 runs and an older one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI4 from "openai-4";
import { zodResponseFormat as format4 } from "openai-4/helpers/zod";
import OpenAI6 from "openai-6";
import { zodResponseFormat as format6 } from "openai-6/helpers/zod";
import { z } from "zod";
import { eventually, isIdle, kKey, recordingFetch, startServer } from "../support/fathom.mjs";

const versions = [
  { name: "openai 4", OpenAI: OpenAI4, format: format4, helpers: (c) => c.beta.chat.completions },
  { name: "openai 6", OpenAI: OpenAI6, format: format6, helpers: (c) => c.chat.completions },
];
const messages = [{ role: "system", content: "You are a king." }, { role: "user", content: "Who are you?" }];
const ask = { model: "bundled", messages, max_tokens: 24, temperature: 0 };
const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "of a city",
    strict: true,
    parameters: { type: "object", properties: { city: { type: "string", maxLength: 6 }, days: { type: "integer", minimum: 1, maximum: 7 } }, required: ["city", "days"], additionalProperties: false },
  },
};
const isWeather = (text) => {
  const { city, days, ...others } = JSON.parse(text);
  return typeof city === "string" && Number.isInteger(days) && days >= 1 && days <= 7 && Object.keys(others).length === 0;
};
const Person = z.object({ name: z.string().max(8), age: z.number().int().min(0).max(99), friends: z.array(z.enum(["Ann", "Bob"])).max(2) });

for (const { name, OpenAI, format, helpers } of versions) {
  describe(name, () => {
    let server, client;
    before(async () => {
      server = await startServer();
      client = new OpenAI({ baseURL: server.v1, apiKey: kKey });
    });
    after(async () => assert.equal(await server.stop(), 0));

    test("a chat, whole and streamed, is the same text", async () => {
      const whole = await client.chat.completions.create(ask);
      assert.equal(whole.choices[0].message.role, "assistant");
      assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
      const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
      let text = "", finish = null, usage = null;
      const ids = new Set();
      for await (const chunk of stream) {
        ids.add(`${chunk.id} ${chunk.created}`);
        text += chunk.choices[0]?.delta.content ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
        assert.equal(usage, null, "nothing follows the usage");
        if (chunk.usage) {
          usage = chunk.usage;
          assert.deepEqual(chunk.choices, []);
        }
      }
      assert.equal(text, whole.choices[0].message.content);
      assert.equal(finish, whole.choices[0].finish_reason);
      assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
      assert.equal(usage.prompt_tokens, whole.usage.prompt_tokens);
      assert.equal(ids.size, 1);
    });

    test("the stream helper collects the same answer", async () => {
      const whole = await client.chat.completions.create(ask);
      const seen = [];
      const stream = helpers(client).stream({ ...ask, stream_options: { include_usage: true } });
      stream.on("content", (delta) => seen.push(delta));
      const final = await stream.finalChatCompletion();
      assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
      assert.equal(seen.join(""), whole.choices[0].message.content);
      assert.equal((await stream.totalUsage()).completion_tokens, whole.usage.completion_tokens);
    });

    test("n answers, whole and streamed; a seed gives the same ones again", async () => {
      const several = { ...ask, n: 3, temperature: 1, seed: 7 };
      const texts = async () => (await client.chat.completions.create(several)).choices.map((c) => c.message.content);
      const first = await texts();
      assert.equal(new Set(first).size, 3);
      assert.deepEqual(await texts(), first);
      const streamed = ["", "", ""];
      for await (const chunk of await client.chat.completions.create({ ...several, stream: true }))
        for (const c of chunk.choices) streamed[c.index] += c.delta.content ?? "";
      assert.deepEqual(streamed, first);
    });

    test("stop ends the text before it, also where it is cut by tokens", async () => {
      const text = (await client.chat.completions.create(ask)).choices[0].message.content;
      const stop = text.slice(5, 9);
      for (const stops of [stop, ["never in there", stop]]) {
        const choice = (await client.chat.completions.create({ ...ask, stop: stops })).choices[0];
        assert.equal(choice.finish_reason, "stop");
        assert.equal(choice.message.content, text.slice(0, text.indexOf(stop)));
      }
    });

    test("log-probabilities: of each token, its bytes are the text", async () => {
      const choice = (await client.chat.completions.create({ ...ask, logprobs: true, top_logprobs: 4 })).choices[0];
      const bytes = choice.logprobs.content.flatMap((t) => t.bytes ?? []);
      assert.equal(Buffer.from(bytes).toString().replace(/^ /, ""), choice.message.content, "but for the space after the role");
      for (const t of choice.logprobs.content) {
        assert.equal(t.top_logprobs.length, 4);
        assert.ok(t.logprob <= 0 && t.top_logprobs[0].logprob === t.logprob, "temperature 0 takes the most likely token");
        assert.ok(t.top_logprobs.reduce((sum, x) => sum + Math.exp(x.logprob), 0) <= 1 + 1e-6);
      }
    });

    test("parse with a schema of zod", async () => {
      for (let seed = 0; seed < 3; ++seed) {
        const parsed = await helpers(client).parse({ ...ask, max_tokens: 300, temperature: 1, seed, response_format: format(Person, "person") });
        Person.parse(parsed.choices[0].message.parsed);
      }
      const stream = helpers(client).stream({ ...ask, max_tokens: 300, response_format: format(Person, "person") });
      Person.parse((await stream.finalChatCompletion()).choices[0].message.parsed);
      await assert.rejects(helpers(client).parse({ ...ask, max_tokens: 3, response_format: format(Person, "person") }), OpenAI.LengthFinishReasonError);
    });

    test("a call of a tool, whole, streamed, and answered", async () => {
      const called = { ...ask, max_tokens: 200, tools: [weather], tool_choice: "required" };
      const whole = (await client.chat.completions.create(called)).choices[0];
      assert.equal(whole.finish_reason, "tool_calls");
      const [call] = whole.message.tool_calls;
      assert.equal(call.function.name, "weather");
      assert.ok(isWeather(call.function.arguments), call.function.arguments);
      const streamed = (await helpers(client).stream(called).finalChatCompletion()).choices[0].message;
      assert.equal(streamed.tool_calls[0].function.arguments, call.function.arguments);
      const answered = await client.chat.completions.create({ ...ask, tools: [weather], tool_choice: "none",
        messages: [...messages, whole.message, { role: "tool", tool_call_id: call.id, content: "sunny" }] });
      assert.ok(answered.choices[0].message.content.length > 0);
      await assert.rejects(client.chat.completions.create({ ...called, tool_choice: { type: "function", function: { name: "nobody" } } }), OpenAI.BadRequestError);
    });

    test("the tool runner calls the function and sends its result", async () => {
      const seen = [];
      const runner = helpers(client).runTools({ ...ask, max_tokens: 120, tool_choice: { type: "function", function: { name: "weather" } },
        tools: [{ type: "function", function: { ...weather.function, parse: JSON.parse, function: (given) => (seen.push(given), "sunny") } }] });
      const messagesSeen = [];
      runner.on("message", (m) => messagesSeen.push(m.role));
      await runner.done();
      assert.ok(seen.length > 0 && isWeather(JSON.stringify(seen[0])), JSON.stringify(seen));
      assert.ok(messagesSeen.includes("tool"));
    });

    test("responses: whole and streamed, a schema, a call", async () => {
      const plain = { model: "bundled", instructions: "You are a king.", input: "Who are you?", max_output_tokens: 24, temperature: 0 };
      const whole = await client.responses.create(plain);
      assert.equal(whole.output_text, (await client.chat.completions.create(ask)).choices[0].message.content);
      let text = "", last;
      for await (const event of await client.responses.create({ ...plain, stream: true })) {
        if (event.type === "response.output_text.delta") text += event.delta;
        last = event;
      }
      assert.equal(text, whole.output_text);
      assert.equal(last.type, whole.status === "completed" ? "response.completed" : "response.incomplete");
      assert.equal(last.response.usage.output_tokens, whole.usage.output_tokens);
      const final = await client.responses.stream(plain).finalResponse();
      assert.equal(final.output[0].content[0].text, whole.output_text);
      const { schema } = format(Person, "person").json_schema;
      const made = await client.responses.create({ ...plain, max_output_tokens: 300, text: { format: { type: "json_schema", name: "person", schema, strict: true } } });
      Person.parse(JSON.parse(made.output_text));
      const called = await client.responses.create({ ...plain, max_output_tokens: 200, tool_choice: "required", tools: [{ type: "function", ...weather.function }] });
      const call = called.output.find((item) => item.type === "function_call");
      assert.ok(isWeather(call.arguments), call.arguments);
      const next = await client.responses.create({ ...plain, tool_choice: "none", tools: [{ type: "function", ...weather.function }],
        input: [{ role: "user", content: "Weather?" }, ...called.output, { type: "function_call_output", call_id: call.call_id, output: "sunny" }] });
      assert.ok(next.output_text.length > 0);
      await assert.rejects(client.responses.create({ ...plain, previous_response_id: "resp_1" }), (e) => e instanceof OpenAI.BadRequestError && e.param === "previous_response_id");
    });

    test("json_object", async () => {
      const choice = (await client.chat.completions.create({ ...ask, temperature: 1, max_tokens: 400, seed: 1, response_format: { type: "json_object" } })).choices[0];
      if (choice.finish_reason === "stop") assert.equal(typeof JSON.parse(choice.message.content), "object");
      assert.ok(choice.message.content.trimStart().startsWith("{"));
    });

    test("completions: texts, ids, echo with log-probabilities, a stream", async () => {
      const plain = { model: "bundled", prompt: "Once upon a time", max_tokens: 8, temperature: 0 };
      const one = (await client.completions.create(plain)).choices[0].text;
      const two = await client.completions.create({ ...plain, prompt: ["The king", "Once upon a time"] });
      assert.deepEqual(two.choices.map((c) => c.index), [0, 1]);
      assert.equal(two.choices[1].text, one);
      const scored = (await client.completions.create({ ...plain, max_tokens: 1, echo: true, logprobs: 2 })).choices[0];
      assert.ok(scored.text.startsWith(plain.prompt));
      assert.equal(scored.logprobs.token_logprobs[0], null);
      assert.equal(scored.logprobs.tokens.length, scored.logprobs.text_offset.length);
      let text = "";
      for await (const chunk of await client.completions.create({ ...plain, stream: true })) text += chunk.choices[0]?.text ?? "";
      assert.equal(text, one);
    });

    test("models", async () => {
      const ids = [];
      for await (const model of client.models.list()) ids.push(model.id);
      assert.deepEqual(ids, ["bundled"]);
      assert.equal((await client.models.retrieve("bundled")).object, "model");
      await assert.rejects(client.models.retrieve("a/b"), OpenAI.NotFoundError);
    });

    test("errors are of the class that the client has for them", async () => {
      const fails = async (body, type, fields) => {
        const error = await client.chat.completions.create({ ...ask, ...body }).then(() => assert.fail("no error"), (e) => e);
        assert.ok(error instanceof type, `${error}`);
        for (const [key, value] of Object.entries(fields)) assert.equal(error[key], value, `${key} of ${error}`);
        assert.ok(error.message.length > 10);
      };
      await fails({ temperature: 9 }, OpenAI.BadRequestError, { status: 400, param: "temperature", type: "invalid_request_error" });
      await fails({ temprature: 1 }, OpenAI.BadRequestError, { status: 400, param: "temprature", code: "unknown_parameter" });
      await fails({ messages: [{ role: "user", content: "word ".repeat(3000) }] }, OpenAI.BadRequestError, { code: "context_length_exceeded" });
      await fails({ model: "gpt-4o" }, OpenAI.NotFoundError, { status: 404, code: "model_not_found", param: "model" });
      await fails({ response_format: { type: "json_schema", json_schema: { name: "x", schema: { if: {} } } } }, OpenAI.BadRequestError, { param: "response_format.json_schema.schema" });
      await fails({ timeout: 0.001, max_tokens: 400, ignore_eos: true }, OpenAI.InternalServerError, { status: 504, code: "timeout" });
      const stranger = new OpenAI({ baseURL: server.v1, apiKey: "sk-wrong" });
      await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
      await assert.rejects(client.post("/nothing", { body: {} }), OpenAI.NotFoundError);
    });

    test("an abort frees the sequence", async () => {
      const name = 'requests_finished_total{model="bundled",reason="cancelled"}';
      const before = (await server.metrics())[name] ?? 0;
      const stream = await client.completions.create({ model: "bundled", prompt: "Once", max_tokens: 500, stream: true, ignore_eos: true, n: 8 });
      for await (const chunk of stream) if (chunk.choices.length > 0) break;  // leaving the loop aborts the request
      await isIdle(server);
      const controller = new AbortController();
      const whole = client.completions.create({ model: "bundled", prompt: "Once", max_tokens: 500, ignore_eos: true, n: 8 }, { signal: controller.signal });
      setTimeout(() => controller.abort(), 30);
      await assert.rejects(whole, OpenAI.APIUserAbortError);
      await isIdle(server);
      await eventually(async () => (await server.metrics())[name] > before, "requests that were cancelled are counted");
    });
  });

  describe(`${name}, a server that is busy`, () => {
    let server;
    before(async () => (server = await startServer("--max-running", "1", "--max-queued", "1")));
    after(async () => assert.equal(await server.stop(), 0));
    const load = (client) => Array.from({ length: 6 }, (_, i) => client.completions.create({ model: "bundled", prompt: "Once", max_tokens: 300, ignore_eos: true, seed: i }));

    test("429 is a RateLimitError with Retry-After", async () => {
      const client = new OpenAI({ baseURL: server.v1, apiKey: kKey, maxRetries: 0 });
      const refused = (await Promise.allSettled(load(client))).filter((r) => r.status === "rejected").map((r) => r.reason);
      assert.ok(refused.length > 0, "none was refused");
      for (const error of refused) {
        assert.ok(error instanceof OpenAI.RateLimitError, `${error}`);
        assert.equal(error.code, "queue_full");
      }
    });

    test("a client that may try again waits as long as it is told, and gets its answer", async () => {
      const record = [];
      const client = new OpenAI({ baseURL: server.v1, apiKey: kKey, maxRetries: 12, fetch: recordingFetch(record) });
      const answers = await Promise.all(load(client));
      for (const a of answers) assert.equal(a.usage.completion_tokens, 300);
      const refused = record.filter((r) => r.status === 429);
      assert.ok(refused.length > 0, "none was refused");
      for (const r of refused) {
        const wait = Number(r.retryAfter) * 1000;
        assert.ok(wait >= 1000);
        const next = record.find((x) => x.at > r.at && x.body === r.body);
        assert.ok(next && next.at - r.at >= wait - 20, `tried again after ${next?.at - r.at} ms`);
      }
    });
  });
}
