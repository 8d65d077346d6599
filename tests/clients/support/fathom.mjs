// A `fathom serve` of the bundled model for a test in JavaScript. FATHOM names the program.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const kKey = "sk-0123456789abcdef0123456789abcdef";

// Starts a server on a free port and waits until it is ready. It asks for kKey.
export async function startServer(...options) {
  const folder = mkdtempSync(join(tmpdir(), "fathom-client-"));
  const keys = join(folder, "keys");
  writeFileSync(keys, `tester: ${kKey}\n`, { mode: 0o600 });
  const server = spawn(process.env.FATHOM, ["serve", "--port", "0", "--keys", keys, "--log", join(folder, "log"), ...options],
    { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, FATHOM_TUNE: "off" } });
  const ended = new Promise((resolve) => server.on("exit", resolve));
  const url = await addressOf(server);
  for (let i = 0; !(await fetch(`${url}/ready`)).ok; ++i) {
    if (i > 600) throw new Error("the server does not become ready");
    await sleep(50);
  }
  return {
    url,
    v1: `${url}/v1`,
    // The samples of /metrics: name{labels} to number.
    async metrics() {
      const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${kKey}` } })).text();
      return Object.fromEntries(text.split("\n").filter((l) => l && !l.startsWith("#")).map((l) => [l.slice(0, l.lastIndexOf(" ")), Number(l.slice(l.lastIndexOf(" ") + 1))]));
    },
    async stop() {
      server.kill("SIGTERM");
      const code = await ended;
      rmSync(folder, { recursive: true });
      return code;
    },
  };
}

function addressOf(server) {
  return new Promise((resolve, reject) => {
    let said = "";
    server.stderr.on("data", (bytes) => {
      said += bytes;
      const found = /at (http:\/\/127\.0\.0\.1:\d+)/.exec(said);
      if (found) resolve(found[1]);
    });
    server.on("exit", () => reject(new Error(`the server ended: ${said}`)));
    server.on("error", reject);
  });
}

// Waits until `holds` (which may be asynchronous) is true.
export async function eventually(holds, what, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`after ${seconds} s still not so: ${what}`);
    await sleep(20);
  }
}

// Nothing runs, and nothing holds the cache, soon after a client left.
export function isIdle(server) {
  return eventually(async () => {
    const m = await server.metrics();
    return m['requests_running{model="bundled"}'] === 0 && m['requests_waiting{model="bundled"}'] === 0 && m['kv_cache_usage_ratio{model="bundled"}'] === 0;
  }, "an idle server");
}

// `fetch` for a client, which keeps what came of each request: [{ status, at, retryAfter, body }].
export function recordingFetch(record) {
  return async (url, init) => {
    const answer = await fetch(url, init);
    record.push({ status: answer.status, at: performance.now(), retryAfter: answer.headers.get("retry-after"), body: init?.body });
    return answer;
  };
}
