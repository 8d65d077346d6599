// What the browser tests share: a browser, a server, and a page whose errors and policy violations are collected.
//   FATHOM_PAGE_URL   a real server to test instead of the mock; then only tests that any server can pass are run
//   FATHOM_PAGE_KEY   an API key for it
//   CHROMIUM          the browser (/usr/bin/chromium)
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { startMock } from "../mock_server.mjs";

export const realUrl = process.env.FATHOM_PAGE_URL;
const kAxe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const mock = realUrl ? null : await startMock();
export const url = realUrl ?? mock.url;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--font-render-hinting=none"],
});

export async function end() {
  await browser.close();
  await mock?.stop();
}

// A page in a fresh profile. `page.problems` collects violations of the policy, uncaught errors, and requests that leave the server.
export async function open({ width = 1280, height = 800, theme = "light", touch = false, path = "", storage = {} } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, hasTouch: touch, isMobile: touch, reducedMotion: "reduce", permissions: ["clipboard-read", "clipboard-write"], acceptDownloads: true });
  const page = await context.newPage();
  page.problems = [];
  await page.exposeFunction("reportProblem", (text) => page.problems.push(text));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (e) => window.reportProblem(`CSP ${e.effectiveDirective} ${e.blockedURI} ${e.sample} ${e.sourceFile}:${e.lineNumber}`));
  });
  await page.addInitScript((entries) => {
    for (const [name, value] of Object.entries(entries)) if (localStorage.getItem(name) === null) localStorage.setItem(name, JSON.stringify(value));
  }, { ...(process.env.FATHOM_PAGE_KEY ? { "fathom.key": process.env.FATHOM_PAGE_KEY } : {}), ...storage });
  page.on("pageerror", (error) => page.problems.push(`error: ${error.stack}`));
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (target.protocol !== "blob:" && target.origin !== new URL(url).origin) page.problems.push(`request to ${target.href.slice(0, 100)}`);
  });
  await page.goto(url + path);
  await page.locator("#composer").waitFor();
  page.close = () => context.close();
  return page;
}

export async function say(page, text) {
  await page.locator("#composer").fill(text);
  await page.locator("#composer").press("Enter");
}

export const answers = (page) => page.locator(".answer");

// What holds now or within five seconds: the page shows a change a moment after what caused it.
export async function eventually(check, wait = 5000) {
  for (const end = Date.now() + wait; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

// Waits until no answer is being written.
export async function settled(page, timeout = 30_000) {
  await page.locator(".answer").last().waitFor();
  await page.waitForFunction(() => !document.querySelector('.answer[aria-busy="true"]'), undefined, { timeout });
}

// What axe-core finds against WCAG 2.2 A and AA and its best practices, as one line each.
export async function accessibilityProblems(page) {
  // A script from here, not of the page: it is put in by the debugger, which the policy does not bind.
  await page.evaluate(kAxe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 160)} (${n.any.concat(n.all, n.none).map((c) => c.message).join("; ")})`));
}
