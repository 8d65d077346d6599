// How the page looks and whether everyone can use it: axe-core, widths, and pictures to look at (FATHOM_PAGE_SHOTS names their folder).
import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { accessibilityProblems, end, eventually, mock, open, realUrl, say, settled } from "./harness.mjs";

after(end);
const mocked = { skip: realUrl ? "needs the mock server" : false };
const shots = process.env.FATHOM_PAGE_SHOTS;
if (shots) mkdirSync(shots, { recursive: true });
let page;
afterEach(async () => {
  if (mock) mock.behaviour.fail = null;
  await page?.close();
});

const kScreens = [1440, 390].flatMap((width) => ["light", "dark"].map((theme) => ({ width, height: width === 1440 ? 900 : 844, theme, touch: width < 500 })));

async function look(name, screen) {
  await page.waitForTimeout(150);
  if (shots) await page.screenshot({ path: join(shots, `${name}-${screen.width}-${screen.theme}.png`) });
  const problems = await accessibilityProblems(page);
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.querySelector(".scroller")?.scrollWidth > document.querySelector(".scroller")?.clientWidth);
  assert.deepEqual({ problems, sideways: Boolean(sideways), other: page.problems }, { problems: [], sideways: false, other: [] });
}

describe("any server", () => {
  it("greets without a barrier", async () => {
    page = await open();
    await page.waitForTimeout(500);
    await look("welcome-any", { width: 1280, theme: "light" });
  });
});

for (const screen of kScreens) {
  describe(`${screen.width} pixels, ${screen.theme}`, mocked, () => {
    it("welcome, conversation, tokens, settings, shortcuts, trouble", async () => {
      page = await open(screen);
      await look("welcome", screen);
      await say(page, "Why is the cache of latent attention so small?");
      await settled(page);
      await look("answer-end", screen);
      await page.locator(".scroller").evaluate((e) => (e.scrollTop = 0));
      await look("answer-top", screen);
      await page.locator("details.figures summary").click();
      await look("figures", screen);
      await page.locator("details.figures summary").click();
      await page.getByRole("button", { name: "Tokens and their probabilities" }).click();
      await page.locator(".token").nth(8).hover();
      await look("tokens", screen);
      await page.getByRole("button", { name: "Settings" }).last().click();
      await look("settings", screen);
      await page.keyboard.press("Escape");
      await page.keyboard.press("Control+/");
      await look("shortcuts", screen);
      await page.keyboard.press("Escape");
      mock.behaviour.fail = { status: 429, message: "The queue holds 512 requests.", headers: { "Retry-After": "30" } };
      await say(page, "And how much is it for 128 heads?");
      await page.locator(".error-card").waitFor();
      await look("trouble", screen);
      if (screen.width < 500) {
        await page.getByRole("button", { name: "Show conversations" }).click();
        await page.waitForTimeout(250);
        await look("drawer", screen);
      }
    });
  });
}

describe("other forms", mocked, () => {
  it("fits 320 pixels", async () => {
    const screen = { width: 320, height: 568, theme: "light", touch: true };
    page = await open(screen);
    await say(page, "latent attention " + "averyveryverylongwordwithoutanybreak".repeat(5));
    await settled(page);
    await look("small", screen);
    await page.getByRole("button", { name: "Settings" }).last().click();
    await look("small-settings", screen);
  });

  it("fits text of twice the size", async () => {
    const screen = { width: 1280, height: 800, theme: "light" };
    page = await open(screen);
    await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
    await say(page, "latent attention");
    await settled(page);
    await page.waitForFunction(() => { const e = document.querySelector(".scroller"); return e.scrollHeight - e.scrollTop - e.clientHeight < 5; });
    await look("large-text", screen);
  });

  it("the switch for light and dark wins over the system, and stays", async () => {
    page = await open({ theme: "light" });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByRole("button", { name: "Settings" }).last().click();
    await page.getByText("Dark", { exact: true }).click();
    await page.waitForFunction((before) => getComputedStyle(document.body).backgroundColor !== before, light);
    const dark = await ground();
    await page.reload();
    await page.waitForFunction((wanted) => getComputedStyle(document.body).backgroundColor === wanted, dark);
    await page.emulateMedia({ colorScheme: "dark" });
    assert.equal(await ground(), dark);
  });

  it("tells a screen reader when an answer begins and what it is", async () => {
    page = await open();
    await say(page, "talk slowly");
    const status = page.locator(".visually-hidden[aria-live]");
    await eventually(async () => assert.equal(await status.innerText(), "The answer is being written."));
    await page.keyboard.press("Escape");
    await settled(page);
    await say(page, "hello");
    await settled(page);
    await eventually(async () => assert.match(await status.innerText(), /You said: hello/));
  });
});
