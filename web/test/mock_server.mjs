// A server that speaks what the page asks for, with made-up answers. Browser tests run against it; by hand:
//     node test/mock_server.mjs [PORT]
// What it answers follows from words in the last message (see kScripts), so that a test needs no other way to steer it; `behaviour` has the
// rest. It sends the headers that src/web_page/page_files.h prescribes, read from that file.
import { createServer } from "node:http";
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const kTypes = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2" };

export function pageHeaders() {
  const header = readFileSync(join(here, "../../src/web_page/page_files.h"), "utf8");
  const policy = /kContentSecurityPolicy =\s*((?:"[^"]*"\s*)+);/.exec(header)[1];
  return {
    "Content-Security-Policy": [...policy.matchAll(/"([^"]*)"/g)].map((m) => m[1]).join(""),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
  };
}

const sample = (name) => readFileSync(join(here, "samples", name), "utf8");

// The first whose word is in the last message. `delay` is in milliseconds between two tokens.
const kScripts = [
  { word: "latent attention", text: () => sample("markdown.md"), delay: 2 },
  { word: "show hostile", text: () => sample("hostile.md"), delay: 0 },
  { word: "show arabic", text: () => "\u0645\u0631\u062d\u0628\u0627! \u0647\u0630\u0627 \u0646\u0635 \u0645\u0646 \u0627\u0644\u064a\u0645\u064a\u0646 \u0625\u0644\u0649 \u0627\u0644\u064a\u0633\u0627\u0631 \u0645\u0639 `code` \u0641\u064a \u0648\u0633\u0637\u0647.\n\n- \u0648\u0627\u062d\u062f\n- \u0627\u062b\u0646\u0627\u0646\n", delay: 2 },
  { word: "show ten megabytes", text: () => "<script>window.pwned=1</script> **bold** $x$ [a](javascript:window.pwned=2) ".repeat(135_000), delay: 0 },
  { word: "talk slowly", text: () => "word ".repeat(2000), delay: 20 },
  { word: "read long", text: () => "The prompt was read.", delay: 5, progress: 6 },
  { word: "break off", text: () => "This answer stops in the mid", delay: 5, end: "destroy" },
  { word: "fail later", text: () => "This answer fails", delay: 5, end: "error" },
  { word: "echo", text: (request) => request.messages.at(-1).content.replace(/^[^:]*:\s?/, ""), delay: 0 },
  { word: "turns", text: (request) => JSON.stringify(request.messages.map((m) => [m.role, m.content])), delay: 0 },
  { word: "", text: (request) => `You said: ${request.messages.at(-1).content}\n\nThis is answer number ${request.count}.`, delay: 5 },
];

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const pieces = (text) => text.length > 1e6 ? text.match(/[^]{1,4096}/g) : text.match(/\s?[^\s]{1,6}|\s/g) ?? [];

export function fail(response, status, fields, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify({ error: { message: "", type: "invalid_request_error", param: null, code: null, ...fields } }));
}

function logprobsOf(token, wanted) {
  const chosen = -0.02 - (token.length % 5) * 0.6;
  const rest = (i) => Math.log((1 - Math.exp(chosen)) * 0.5 ** i);
  const others = Array.from({ length: wanted }, (_, i) => ({ token: i === 0 ? token : ` other${i}`, logprob: i === 0 ? chosen : rest(i), bytes: null }));
  return { content: [{ token, logprob: chosen, bytes: [...Buffer.from(token)], top_logprobs: others }] };
}

async function stream(request, response, state) {
  let script = kScripts.find((s) => request.messages.at(-1).content.includes(s.word));
  const base = { id: "chatcmpl-mock", object: "chat.completion.chunk", created: 1, model: request.model ?? "mock" };
  const write = (fields) => response.write(`data: ${JSON.stringify({ ...base, usage: null, ...fields })}\n\n`);
  const delta = (delta, finish_reason = null, logprobs = null) => write({ choices: [{ index: 0, delta, logprobs, finish_reason }] });
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const begin = Date.now();
  for (let i = 1; i <= (script.progress ?? 0) && !response.destroyed; ++i) {
    response.write(": keep-alive\n\n");
    write({ choices: [], prompt_progress: { processed: i * 512, total: script.progress * 512 } });
    await pause(60);
  }
  delta({ role: "assistant", content: "" });
  const last = request.messages.at(-1);
  if (last.role === "assistant") script = { text: () => " and it goes on.", delay: 5 };
  const tokens = pieces(script.text({ ...request, count: state.answers })).slice(0, request.max_tokens ?? Infinity);
  const batch = script.delay === 0 ? 500 : 1;
  for (let i = 0; i < tokens.length && !response.destroyed; ++i) {
    delta({ content: tokens[i] }, null, request.logprobs ? logprobsOf(tokens[i], request.top_logprobs ?? 0) : null);
    if ((i + 1) % batch === 0) await pause(script.delay);
  }
  if (response.destroyed) return void ++state.cancelled;
  if (script.end === "destroy") return void setTimeout(() => response.destroy(), 30);
  if (script.end === "error") return void response.end(`data: ${JSON.stringify({ error: { message: "The engine lost its way.", type: "server_error", param: null, code: null } })}\n\n`);
  delta({}, tokens.length === request.max_tokens ? "length" : "stop");
  const prompt = request.messages.reduce((sum, m) => sum + pieces(m.content).length, 0);
  write({
    choices: [],
    usage: { prompt_tokens: prompt, completion_tokens: tokens.length, total_tokens: prompt + tokens.length, prompt_tokens_details: { cached_tokens: prompt >> 1 } },
    timings: { prompt_tokens: prompt, cached_tokens: prompt >> 1, prompt_seconds: 0.12, generated_tokens: tokens.length, generated_seconds: Math.max(0.001, (Date.now() - begin) / 1000), kv_cache_tokens: 4 * prompt, kv_cache_capacity: 65536 },
  });
  response.end("data: [DONE]\n\n");
}

async function readBody(request) {
  let text = "";
  for await (const piece of request) text += piece;
  return JSON.parse(text);
}

export async function startMock({ port = 0, dist = join(here, "../dist") } = {}) {
  const state = { requests: [], paths: [], answers: 0, cancelled: 0, behaviour: { key: "", fail: null, models: ["DeepSeek-V2-Lite-Chat", "fathom/bundled"] } };
  const headers = pageHeaders();

  async function api(path, request, response) {
    const { key, fail: wanted, models } = state.behaviour;
    if (key && request.headers.authorization !== `Bearer ${key}`) return fail(response, 401, { message: "No valid API key was given.", code: "invalid_api_key" });
    if (path === "/v1/models") return void response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ object: "list", data: models.map((id) => ({ id, object: "model" })) }));
    if (path === "/props") return void response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ model: models[0], context_length: 32768, version: "0.1.0", default_generation_settings: { temperature: 0.3, top_p: 0.95 } }));
    if (path !== "/v1/chat/completions") return fail(response, 404, { message: `There is no ${path} here.` });
    const body = await readBody(request);
    state.requests.push(body);
    if (wanted) return fail(response, wanted.status, wanted, wanted.headers);
    ++state.answers;
    await stream(body, response, state);
  }

  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://mock").pathname;
    state.paths.push(path);
    if (path.startsWith("/v1/") || path === "/props") return void api(path, request, response).catch(() => response.destroy());
    const file = join(dist, path === "/" ? "index.html" : path);
    if (path.includes("..") || !existsSync(file)) return fail(response, 404, { message: "There is no such file." });
    response.writeHead(200, { ...headers, "Content-Type": kTypes[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  const listen = (at) => new Promise((resolve) => server.listen(at, "127.0.0.1", resolve));
  await listen(port);
  const used = server.address().port;
  return {
    ...state,
    state,
    url: `http://127.0.0.1:${used}/`,
    stop: () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections())),
    start: () => listen(used),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await startMock({ port: Number(process.argv[2] ?? 8080) });
  console.log(url);
}
