// LangChain's ChatOpenAI.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { HumanMessage, SystemMessage } from "@langchain/core/messages";
import { StringOutputParser } from "@langchain/core/output_parsers";
import { ChatPromptTemplate } from "@langchain/core/prompts";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAI } from "@langchain/openai";
import { z } from "zod";
import { isIdle, kKey, startServer } from "../support/fathom.mjs";

let server;
before(async () => (server = await startServer()));
after(async () => assert.equal(await server.stop(), 0));

const chat = (options = {}) => new ChatOpenAI({ model: "bundled", temperature: 0, maxTokens: 24, apiKey: kKey, configuration: { baseURL: server.v1 }, ...options });
const messages = [new SystemMessage("You are a king."), new HumanMessage("Who are you?")];
const Person = z.object({ name: z.string().max(8), age: z.number().int().min(0).max(99) });

test("invoke and stream give one text and the same usage", async () => {
  const whole = await chat().invoke(messages);
  let all;
  for await (const chunk of await chat().stream(messages)) all = all ? all.concat(chunk) : chunk;
  assert.equal(all.content, whole.content);
  assert.ok(whole.usage_metadata.output_tokens > 0);
  assert.equal(all.usage_metadata.output_tokens, whole.usage_metadata.output_tokens);
  assert.equal(all.usage_metadata.input_tokens, whole.usage_metadata.input_tokens);
});

test("a chain, a batch, and events of a stream", async () => {
  const chain = ChatPromptTemplate.fromMessages([["system", "You are a king."], ["human", "{question}"]]).pipe(chat()).pipe(new StringOutputParser());
  const answers = await chain.batch([{ question: "Who are you?" }, { question: "Where?" }, { question: "Who are you?" }]);
  assert.equal(answers[0], answers[2]);
  let streamed = "";
  for await (const event of chain.streamEvents({ question: "Who are you?" }, { version: "v2" })) if (event.event === "on_parser_stream") streamed += event.data.chunk;
  assert.equal(streamed, answers[0]);
});

test("structured output by JSON schema", async () => {
  for (const seed of [0, 1, 2]) Person.parse(await chat({ temperature: 1, maxTokens: 300, modelKwargs: { seed } }).withStructuredOutput(Person, { method: "jsonSchema", name: "person" }).invoke(messages));
});

test("bound tools: a call, its result, and what the model makes of it", async () => {
  const weather = tool(async () => "sunny", { name: "weather", description: "of a city", schema: z.object({ city: z.string().max(6), days: z.number().int().min(1).max(7) }) });
  const called = await chat({ maxTokens: 120 }).bindTools([weather], { tool_choice: "weather" }).invoke(messages);
  assert.equal(called.tool_calls.length, 1);
  assert.ok(called.tool_calls[0].args.days >= 1 && called.tool_calls[0].args.days <= 7);
  const result = await weather.invoke(called.tool_calls[0]);
  const answer = await chat().bindTools([weather], { tool_choice: "none" }).invoke([...messages, called, result]);
  assert.ok(answer.content.length > 0);
  Person.parse(await chat({ maxTokens: 300 }).withStructuredOutput(Person, { method: "functionCalling", name: "person" }).invoke(messages));
});

test("log-probabilities", async () => {
  const answer = await chat({ logprobs: true, topLogprobs: 2 }).invoke(messages);
  assert.equal(answer.response_metadata.logprobs.content.length, answer.usage_metadata.output_tokens);
});

test("stop, and the completion model", async () => {
  const { content } = await chat().invoke(messages);
  const stopped = await chat({ stop: [content.slice(4, 8)] }).invoke(messages);
  assert.equal(stopped.content, content.slice(0, content.indexOf(content.slice(4, 8))));
  const text = await new OpenAI({ model: "bundled", temperature: 0, maxTokens: 8, apiKey: kKey, configuration: { baseURL: server.v1 } }).invoke("Once upon a time");
  assert.ok(text.length > 0);
});

test("errors have their status; an abort frees the sequence", async () => {
  await assert.rejects(chat({ model: "gpt-4o", maxRetries: 0 }).invoke(messages), (e) => e.status === 404);
  await assert.rejects(chat({ apiKey: "sk-wrong", maxRetries: 0 }).invoke(messages), (e) => e.status === 401);
  const controller = new AbortController();
  const stream = await chat({ maxTokens: 450, modelKwargs: { ignore_eos: true } }).stream(messages, { signal: controller.signal });
  await assert.rejects(async () => {
    for await (const _ of stream) controller.abort();
  });
  await isIdle(server);
});
