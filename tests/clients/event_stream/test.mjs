// eventsource-parser reads the streams: every byte of them is an event, a comment, or the blank line after one.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createParser } from "eventsource-parser";
import { kKey, startServer } from "../support/fathom.mjs";

let server, narrow;
before(async () => {
  server = await startServer();
  narrow = await startServer("--max-running", "1", "--keep-alive", "1");
});
after(async () => {
  assert.equal(await server.stop(), 0);
  assert.equal(await narrow.stop(), 0);
});

const post = (path, body, to = server) => fetch(`${to.url}${path}`, { method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${kKey}` }, body: JSON.stringify(body) });

async function bytesOf(path, body, to = server) {
  const answer = await post(path, { ...body, stream: true }, to);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^text\/event-stream/);
  return Buffer.from(await answer.arrayBuffer());
}

// What the parser makes of the pieces, and the bytes that the standard's form of it has.
function parse(pieces) {
  const read = { events: [], comments: 0, errors: [], form: "" };
  const parser = createParser({
    onEvent: (e) => {
      read.events.push(e.data);
      read.form += `${e.event ? `event: ${e.event}\n` : ""}data: ${e.data}\n\n`;
    },
    onComment: (text) => {
      ++read.comments;
      read.form += `: ${text}\n\n`;
    },
    onError: (error) => read.errors.push(`${error}`),
  });
  for (const piece of pieces) parser.feed(piece);
  return read;
}

const requests = [
  ["/v1/chat/completions", { messages: [{ role: "user", content: "Say é, 你好 and \u2028 \r\n data: x" }], max_tokens: 40, temperature: 1.5, seed: 3, stream_options: { include_usage: true } }],
  ["/v1/chat/completions", { messages: [{ role: "user", content: "Who?" }], max_tokens: 30, logprobs: true, top_logprobs: 20, temperature: 2, seed: 4, n: 2, stream_options: { include_obfuscation: true } }],
  ["/v1/completions", { prompt: ["Once", "data: [DONE]\n\n"], echo: true, logprobs: 5, max_tokens: 20, temperature: 2, seed: 5 }],
];

for (const [path, body] of requests)
  test(`${path} ${JSON.stringify(body).slice(0, 60)}...: no byte is left over, whole or byte by byte`, async () => {
    const bytes = await bytesOf(path, body);
    const text = bytes.toString();
    assert.ok(Buffer.from(text).equals(bytes), "it is UTF-8");
    const whole = parse([text]);
    assert.deepEqual(whole.errors, []);
    assert.equal(whole.form, text);
    assert.equal(whole.events.at(-1), "[DONE]");
    for (const data of whole.events.slice(0, -1)) assert.equal(typeof JSON.parse(data).id, "string");
    const decoder = new TextDecoder();
    const single = parse(Array.from(bytes, (b) => decoder.decode(Uint8Array.of(b), { stream: true })));
    assert.deepEqual(single.events, whole.events);
  });

test("comments while a request waits for others, and nothing but them", async () => {
  const long = { prompt: "Once", max_tokens: 500, ignore_eos: true };
  const end = Date.now() + 2500;
  const busy = [0, 1].map(async () => {  // one runs and one waits, both before the stream
    while (Date.now() < end) assert.equal((await (await post("/v1/completions", { ...long, priority: 10 }, narrow)).json()).usage.completion_tokens, 500);
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const text = (await bytesOf("/v1/completions", { ...long, max_tokens: 4 }, narrow)).toString();
  await Promise.all(busy);
  const read = parse([text]);
  assert.equal(read.form, text);
  assert.ok(read.comments > 0, "no keep-alive came");
});

test("an error after the first byte is an event, and no [DONE] follows it", async () => {
  const read = parse([(await bytesOf("/v1/chat/completions", { messages: [{ role: "user", content: "x" }], timeout: 0.001, max_tokens: 400, ignore_eos: true })).toString()]);
  assert.equal(JSON.parse(read.events.at(-1)).error.code, "timeout");
});
