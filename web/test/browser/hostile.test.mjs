// What a model, a file or a user may do to the page: scripts, sizes, odd scripts.
import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { readFileSync } from "node:fs";
import { answers, end, eventually, open, realUrl, say, settled } from "./harness.mjs";

after(end);
const mocked = { skip: realUrl ? "needs the mock server" : false };
let page;
afterEach(() => page?.close());
const clean = () => assert.deepEqual(page.problems, []);

async function unharmed() {
  await page.waitForTimeout(300);
  await eventually(async () => assert.equal(await page.evaluate(() => window.pwned), undefined));
  await eventually(async () => assert.equal(await page.locator(":is(.answer, .question) :is(script, iframe, img, object, embed, form, style, link, base, meta, video)").count(), 0));
  clean();
}

// Each of these is also sent alone, so that none hides behind another one.
const kHostile = readFileSync(new URL("../samples/hostile.md", import.meta.url), "utf8").split("\n").filter((line) => line.trim());

describe("scripts in an answer", mocked, () => {
  it("are shown, not run: all at once", async () => {
    page = await open();
    await say(page, "show hostile");
    await settled(page);
    await eventually(async () => assert.match(await answers(page).innerText(), /window\.pwned = 1/));
    for (const link of await page.locator(".answer a").all()) assert.match(await link.getAttribute("href"), /^(https?:\/\/|mailto:)/);
    await page.locator(".answer summary").first().click({ timeout: 500 }).catch(() => undefined);
    await unharmed();
  });

  it("are shown, not run: each alone", async () => {
    page = await open();
    for (const line of kHostile) {
      await say(page, `echo: ${line}`);
      await settled(page);
    }
    await unharmed();
  });

  it("are text in questions, titles, raw views, tokens and search results", async () => {
    page = await open();
    await say(page, 'echo: <img src=x onerror="window.pwned=1"><script>window.pwned=2</script>');
    await settled(page);
    await page.getByRole("button", { name: "As it was written" }).click();
    await page.getByRole("button", { name: "Tokens and their probabilities" }).click();
    await page.locator(".token").first().hover();
    await page.getByLabel("Search conversations").fill("onerror");
    await page.locator(".row-excerpt").waitFor();
    await unharmed();
  });

  it("are refused by the policy itself, whoever puts them in", async () => {
    page = await open();
    await page.evaluate(() => {
      const script = document.createElement("script");
      try {
        script.textContent = "window.pwned = 1";
      } catch {
        // Trusted Types refuse it
      }
      document.body.append(script);
      try {
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.pwned = 2'>");
      } catch {
        // Trusted Types refuse it
      }
      const style = document.createElement("div");
      style.setAttribute("style", "position: fixed");
      document.body.append(style);
      void fetch("https://example.org/").catch(() => undefined);
    });
    await page.waitForTimeout(300);
    await eventually(async () => assert.equal(await page.evaluate(() => window.pwned), undefined));
    for (const directive of ["require-trusted-types-for", "style-src", "connect-src"]) assert.ok(page.problems.some((p) => p.includes(directive)), `${directive}: ${page.problems}`);
  });
});

describe("formulas", mocked, () => {
  const kMath = String.raw`\pmb{x} \fcolorbox{red}{yellow}{a} \colorbox{teal}{b} \boxed{c} \cancel{d} \bcancel{e} \xcancel{f} \sout{g} \phase{30} \underbrace{h}_{i} \overbrace{j}^{k} \overrightarrow{AB} \widehat{xyz} \sqrt[3]{x} \begin{pmatrix}1&2\\3&4\end{pmatrix} \begin{cases}a\\b\end{cases} \left\{\frac{a}{b}\right\rangle \mathfrak{A} \mathcal{B} \mathbb{R} \mathscr{D} \mathsf{E} \mathtt{F} \textbf{G} \sum\limits_{i=0}^\infty \int_0^1 \oint \color{blue}{H} \textcolor{#ff0000}{I} \xrightarrow[a]{b} \tag{1} \rule{1em}{1em} \raisebox{1em}{x} \kern1em \smash{y} \llap{z} \vec{v} \not= \angl{n} \text{déjà} \begin{array}{c|c}1&2\\\hline3&4\end{array} \big( \Bigg) \utilde{ab} \mathrlap{a} \vcenter{b} \hphantom{c} \Large x \tiny y \KaTeX`;

  it("of every kind are set without a violation of the policy", async () => {
    page = await open();
    await say(page, `echo: $$${kMath}$$`);
    await settled(page);
    await eventually(async () => assert.equal(await page.locator(".answer .math-error").count(), 0, await page.locator(".answer .math-error").first().getAttribute("title", { timeout: 500 }).catch(() => "")));
    // A style that KaTeX set through the DOM has had its effect.
    await eventually(async () => assert.equal(await page.locator(".answer .katex-html .colorbox, .answer .katex-html .fcolorbox").first().evaluate((e) => getComputedStyle(e).backgroundColor), "rgb(255, 255, 0)"));
    await eventually(async () => assert.ok(await page.evaluate(() => document.fonts.check("16px KaTeX_Main"))));
    await eventually(async () => assert.equal(await page.evaluate(() => [...document.fonts].some((f) => f.status === "error")), false));
    clean();
  });
});

describe("sizes", mocked, () => {
  it("ten megabytes in one answer leave the page usable", async () => {
    page = await open({ storage: { "fathom.defaults": { system: "", sampling: {}, model: "" } } });
    await say(page, "show ten megabytes");
    await settled(page, 120_000);
    await page.getByText("too long to be formatted").waitFor();
    await page.getByRole("button", { name: /Show all/ }).click();
    await page.waitForFunction(() => document.querySelector(".answer").textContent.length > 10e6, undefined, { timeout: 60_000 });
    await unharmed();
  });

  for (const [name, text] of Object.entries({ brackets: "[".repeat(150_000), stars: "*a ".repeat(60_000), backticks: "`".repeat(150_000) + "a", quotes: "> ".repeat(20_000), lists: "- ".repeat(20_000), dollars: "$a".repeat(60_000), pipes: "|a".repeat(60_000) + "\n" + "|-".repeat(60_000), links: "[a](".repeat(40_000), tags: "<b>".repeat(50_000), underscores: "_a".repeat(70_000), entities: "&#".repeat(70_000), formula: "$" + "{".repeat(8000) + "}".repeat(8000) + "$", frac: "$" + "\\frac".repeat(1500) + "$" })) {
    it(`Markdown made to be slow (${name}) does not hold up the page`, async () => {
      page = await open({ storage: { "fathom.defaults": { system: "", sampling: {}, model: "" } } });
      await page.locator("#composer").evaluate((e, value) => {
        e.value = value;
        e.dispatchEvent(new InputEvent("input", { bubbles: true }));
      }, "echo: " + text);
      const begin = Date.now();
      await page.locator("#composer").press("Enter");
      await settled(page, 60_000);
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
      assert.ok(Date.now() - begin < 10_000, `${Date.now() - begin} ms`); // a tenth of it where nothing else runs
      clean();
    });
  }

  it("a megabyte pasted into the field is taken at once", async () => {
    page = await open();
    const begin = Date.now();
    await page.evaluate((text) => navigator.clipboard.writeText(text), "word and more ".repeat(75_000));
    await page.locator("#composer").press("Control+v");
    await page.waitForFunction(() => document.querySelector("#composer").value.length > 1e6);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    assert.ok(Date.now() - begin < 6000, `${Date.now() - begin} ms`);
    clean();
  });

  it("5,000 messages open, scroll, search and take another one", async () => {
    page = await open();
    const messages = Array.from({ length: 5000 }, (_, i) => ({ id: `m${i}`, parent: i ? `m${i - 1}` : null, role: i % 2 ? "assistant" : "user", content: i === 2501 ? "the needle in the hay" : `Message **${i}** with \`code\` and $x_{${i}}$.\n\n- one\n- two`, created: 1000 + i }));
    const conversation = { id: "long", title: "A long one", created: 1, updated: 2, leaf: "m4999", system: "", sampling: {}, model: "" };
    await page.getByRole("button", { name: "Settings" }).last().click();
    await page.locator("#import-file").setInputFiles({ name: "x.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify({ format: "fathom-conversations", version: 1, conversations: [{ conversation, messages, tokens: {} }] })) });
    await page.locator(".notice", { hasText: "1 imported" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".row-open", { hasText: "A long one" }).click();
    await page.locator(".message", { hasText: "Message 4999" }).waitFor();
    const atEnd = () => page.locator(".scroller").evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 5);
    await page.waitForTimeout(300);
    await eventually(async () => assert.ok(await atEnd()));
    // Upwards: older rows come, the rows far below go, and what is read stays in place.
    for (let i = 0; i < 12; ++i) {
      await page.locator(".scroller").evaluate((e) => (e.scrollTop -= 2500));
      await page.waitForTimeout(60);
    }
    await eventually(async () => assert.ok((await page.locator(".message").count()) < 260));
    assert.ok(Number(/\d+/.exec(await page.locator(".question-text").first().innerText())[0]) < 4900);
    await page.getByRole("button", { name: "To the end" }).click();
    await page.locator(".message", { hasText: "Message 4999" }).waitFor();
    await page.getByLabel("Search conversations").fill("needle in");
    await page.locator(".row-open", { hasText: "needle" }).click();
    const found = page.locator(".message", { hasText: "the needle in the hay" });
    await found.waitFor();
    await eventually(async () => assert.ok(await found.evaluate((e) => { const r = e.getBoundingClientRect(); return r.bottom > 0 && r.top < innerHeight; })));
    await page.getByRole("button", { name: "To the end" }).click();
    await page.locator(".message", { hasText: "Message 4999" }).waitFor();
    await say(page, "one more");
    await page.locator(".answer", { hasText: "You said: one more" }).waitFor();
    await page.waitForTimeout(200);
    await eventually(async () => assert.ok(await atEnd()));
    clean();
  });
});

describe("right to left", mocked, () => {
  it("is set from the text of each paragraph and field", async () => {
    page = await open();
    await page.locator("#composer").fill("\u0645\u0631\u062d\u0628\u0627 show arabic");
    await eventually(async () => assert.equal(await page.locator("#composer").evaluate((e) => getComputedStyle(e).direction), "rtl"));
    await page.locator("#composer").press("Enter");
    await settled(page);
    for (const what of [".question-text", ".answer p", ".answer ul", ".answer li"]) assert.equal(await page.locator(what).first().evaluate((e) => getComputedStyle(e).direction), "rtl", what);
  });
});
