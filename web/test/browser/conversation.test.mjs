// What a person does with the page, in Chromium.
import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { answers, end, eventually, mock, open, realUrl, say, settled } from "./harness.mjs";

after(end);
const mocked = { skip: realUrl ? "needs the mock server" : false };
let page;
afterEach(async () => {
  if (mock) Object.assign(mock.behaviour, { key: "", fail: null, models: ["DeepSeek-V2-Lite-Chat", "fathom/bundled"] });
  await page?.close();
});

const button = (name) => page.getByRole("button", { name, exact: true });
const lastRequest = () => mock.state.requests.at(-1);
const clean = () => assert.deepEqual(page.problems, []);

describe("any server", () => {
  it("answers, and the conversation is there after a reload", async () => {
    page = await open();
    await say(page, "Say something short.");
    await settled(page, 120_000);
    await eventually(async () => assert.equal(await page.locator(".error-card").count(), 0));
    const text = await answers(page).last().innerText();
    assert.ok(text.length > 0);
    await page.reload();
    await page.getByRole("button", { name: "Say something short." }).first().click();
    await answers(page).last().waitFor();
    await eventually(async () => assert.equal((await page.locator(".question-text").innerText()).trim(), "Say something short."));
    clean();
  });

  it("is stopped by the button", async () => {
    page = await open();
    let release;
    const clicked = new Promise((resolve) => (release = resolve));
    await page.route("**/v1/chat/completions", async (route) => { // a small model would have answered before the click
      await clicked;
      await route.continue().catch(() => {}); // the page has given the request up
    });
    await say(page, "Write a very long story. Please talk slowly.");
    await button("Stop").click({ timeout: 10_000 });
    release();
    await settled(page, 10_000);
    clean();
  });
});

describe("a conversation", mocked, () => {
  it("sends every turn, the system prompt, and the settings", async () => {
    page = await open();
    await button("Settings").last().click();
    await page.getByLabel("System prompt").fill("Be brief.");
    await page.getByLabel("Temperature").fill("0.3");
    await page.getByLabel("Top-k").fill("40");
    await page.getByLabel("Seed").fill("7");
    await page.getByLabel("Stop strings").fill("\nUser:\n###");
    await page.keyboard.press("Escape"); // what was being typed counts
    await say(page, "one");
    await settled(page);
    await say(page, "two");
    await settled(page);
    const request = lastRequest();
    assert.deepEqual(request.messages.map((m) => m.role), ["system", "user", "assistant", "user"]);
    assert.equal(request.messages[0].content, "Be brief.");
    assert.ok(request.messages[2].content.startsWith("You said: one"));
    assert.deepEqual([request.stream, request.stream_options, request.temperature, request.top_k, request.seed, request.stop, request.logprobs, request.top_logprobs], [true, { include_usage: true }, 0.3, 40, 7, ["User:", "###"], true, 5]);
    clean();
  });

  it("refuses a setting out of range, in words, and keeps the old one", async () => {
    page = await open();
    await button("Settings").last().click();
    const field = page.getByLabel("Top-p");
    for (const bad of ["2", "-1", "x", "1e999"]) {
      await field.fill(bad);
      await field.blur();
      await eventually(async () => assert.equal(await field.getAttribute("aria-invalid"), "true"));
    }
    await eventually(async () => assert.match(await page.locator("#field-top_p-hint").innerText(), /needs a number from 0 to 1/));
    await field.fill("");
    await field.blur();
    await page.keyboard.press("Escape");
    await say(page, "x");
    await settled(page);
    assert.ok(!("top_p" in lastRequest()));
  });

  it("keeps other answers as branches, with arrows between them", async () => {
    page = await open();
    await say(page, "hello");
    await settled(page);
    const first = await answers(page).innerText();
    await button("Another answer").click();
    await settled(page);
    await eventually(async () => assert.notEqual(await answers(page).innerText(), first));
    await eventually(async () => assert.equal(await answers(page).count(), 1));
    await eventually(async () => assert.ok(await button("Next version").isDisabled()));
    await button("Previous version").click();
    await eventually(async () => assert.equal((await answers(page).locator(".markdown").innerText()).split("\n").at(-1), first.split("\n").find((l) => l.includes("answer number"))));
    assert.deepEqual(lastRequest().messages, [{ role: "user", content: "hello" }]);
    clean();
  });

  it("edits a question into a branch, and both survive a reload", async () => {
    page = await open();
    await say(page, "first wording");
    await settled(page);
    await page.locator(".question").hover();
    await button("Change and send again").click();
    await page.getByLabel("Change the message").fill("second wording");
    await button("Send as a new version").click();
    await settled(page);
    assert.deepEqual(lastRequest().messages, [{ role: "user", content: "second wording" }]);
    await page.reload();
    await page.locator(".row-open").first().click();
    await answers(page).waitFor();
    await eventually(async () => assert.equal(await page.locator(".question-text").innerText(), "second wording"));
    await button("Previous version").first().click();
    await eventually(async () => assert.equal(await page.locator(".question-text").innerText(), "first wording"));
    await eventually(async () => assert.match(await answers(page).innerText(), /You said: first wording/));
  });

  it("leaves an edit alone with Escape, and does not stop anything by it", async () => {
    page = await open();
    await say(page, "hello");
    await settled(page);
    await page.locator("#composer").press("ArrowUp");
    const editor = page.getByLabel("Change the message");
    await editor.fill("other");
    await editor.press("Escape");
    await eventually(async () => assert.equal(await page.locator(".question-text").innerText(), "hello"));
  });

  it("stops, and the server notices", async () => {
    page = await open();
    const before = mock.state.cancelled;
    await say(page, "talk slowly");
    await page.waitForFunction(() => (document.querySelector(".answer .markdown")?.textContent ?? "").length > 30);
    await page.keyboard.press("Escape");
    await settled(page);
    await eventually(async () => assert.match(await answers(page).innerText(), /Stopped\./));
    await page.waitForTimeout(200);
    assert.equal(mock.state.cancelled, before + 1);
    await say(page, "and now turns");
    await settled(page);
    assert.match(lastRequest().messages[1].content, /^word word/);
    clean();
  });

  it("goes on with an answer that was cut", async () => {
    page = await open();
    await button("Settings").last().click();
    await page.getByLabel("Longest answer").fill("5");
    await page.keyboard.press("Escape");
    await say(page, "hello");
    await settled(page);
    const begin = await answers(page).locator(".markdown").innerText();
    await button("Go on").click();
    await page.locator(".answer", { hasText: "and it goes" }).waitFor();
    await settled(page);
    await eventually(async () => assert.equal(await answers(page).locator(".markdown").innerText(), `${begin} and it goes on.`));
    assert.deepEqual(lastRequest().messages.map((m) => m.role), ["user", "assistant"]);
    assert.equal(lastRequest().messages[1].content, begin);
    await button("Tokens and their probabilities").click();
    await eventually(async () => assert.equal((await page.locator(".tokens-text").innerText()).replaceAll("\u00b7", " ").replaceAll("\u21b5", ""), `${begin} and it goes on.`));
    assert.equal(await page.locator(".branches").count(), 0);
    clean();
  });

  it("goes on in the background while another one is open", async () => {
    page = await open();
    await say(page, "talk slowly please");
    await page.waitForFunction(() => (document.querySelector(".answer .markdown")?.textContent ?? "").length > 30);
    await page.getByRole("button", { name: "New conversation" }).click();
    await say(page, "hello");
    await settled(page);
    await eventually(async () => assert.match(await answers(page).innerText(), /You said: hello/));
    await eventually(async () => assert.equal(await page.locator(".row-running").count(), 1));
    await page.locator(".row-open", { hasText: "talk slowly" }).click();
    await page.waitForFunction(() => document.querySelector('.answer[aria-busy="true"] .markdown')?.textContent.length > 60);
    await button("Stop").click();
    await settled(page);
  });

  it("shows how far the prompt is read", async () => {
    page = await open();
    await say(page, "read long");
    await page.locator(".waiting progress").waitFor();
    await eventually(async () => assert.match(await page.locator(".waiting").innerText(), /Reading the prompt: [\d,]+ of 3,072 tokens/));
    await settled(page);
    await eventually(async () => assert.match(await answers(page).innerText(), /The prompt was read/));
  });

  it("shows speed, time to the first token, context and cache", async () => {
    page = await open();
    await say(page, "hello");
    await settled(page);
    await page.locator("details.figures summary").click();
    const card = await page.locator(".figures-card").innerText();
    for (const label of ["Speed", "First token after", "Prompt", "cached", "Cache in use", "65,536"]) assert.ok(card.includes(label), label);
    await eventually(async () => assert.match(await page.locator(".meter").innerText(), /of 32,768 tokens/));
  });

  it("shows the alternatives of a token under the pointer, and by arrow keys", async () => {
    page = await open();
    await say(page, "hello");
    await settled(page);
    await button("Tokens and their probabilities").click();
    await page.locator(".token").nth(2).hover();
    await eventually(async () => assert.equal(await page.locator(".alternative").count(), 5));
    await eventually(async () => assert.match(await page.locator(".alternatives").innerText(), /\d+(\.\d+)? %/));
    await page.locator(".tokens").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await eventually(async () => assert.equal(await page.locator(".token.is-at").count(), 1));
    const total = await page.locator(".alternative-share").allInnerTexts();
    assert.ok(total.map((t) => parseFloat(t.replace("<", ""))).reduce((a, b) => a + b) <= 100.5);
    clean();
  });

  it("shows an answer as it was written", async () => {
    page = await open();
    await say(page, "latent attention");
    await settled(page);
    await button("As it was written").click();
    await eventually(async () => assert.equal(await page.locator(".answer pre.plain-text").evaluate((e) => e.textContent), await readFile(new URL("../samples/markdown.md", import.meta.url), "utf8")));
  });

  it("copies an answer, and a piece of code", async () => {
    page = await open();
    await say(page, "latent attention");
    await settled(page);
    await page.locator(".copy-code").click();
    await eventually(async () => assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^def cache_bytes[^]*MiB"\)$/));
    await button("Copy the answer").click();
    await eventually(async () => assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^# How latent attention/));
  });

  it("chooses a model, and remembers which", async () => {
    page = await open();
    await page.getByLabel("Model", { exact: true }).selectOption("fathom/bundled");
    await say(page, "hello");
    await settled(page);
    assert.equal(lastRequest().model, "fathom/bundled");
    await page.reload();
    await eventually(async () => assert.equal(await page.getByLabel("Model", { exact: true }).inputValue(), "fathom/bundled"));
  });
});

describe("the library", mocked, () => {
  it("renames, finds, deletes, and undoes", async () => {
    page = await open();
    await say(page, "about whales");
    await settled(page);
    await page.getByRole("button", { name: "New conversation" }).click();
    await say(page, "about squid");
    await settled(page);
    await page.locator(".row", { hasText: "whales" }).hover();
    await page.getByRole("button", { name: /Rename .*whales/ }).click();
    await page.getByLabel("Name of the conversation").fill("Sea mammals");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Control+k");
    await page.keyboard.type("WHALES");
    await page.locator(".row-excerpt").waitFor();
    await eventually(async () => assert.equal(await page.locator(".row").count(), 1));
    await page.locator(".row-open").click();
    await page.locator(".question-text", { hasText: "about whales" }).waitFor();
    await page.getByLabel("Search conversations").fill("nowhere");
    await page.getByText("Nothing found.").waitFor();
    await page.getByLabel("Search conversations").fill("");
    await page.locator(".row", { hasText: "Sea mammals" }).hover();
    await page.getByRole("button", { name: /Delete .*Sea/ }).click();
    await page.locator(".notice").waitFor();
    await eventually(async () => assert.equal(await page.locator(".row").count(), 1));
    await button("Undo").click();
    await page.locator(".row", { hasText: "Sea mammals" }).waitFor();
    clean();
  });

  it("exports, deletes everything, and imports it again", async () => {
    page = await open();
    await say(page, "keep this");
    await settled(page);
    await button("Settings").last().click();
    const [download] = await Promise.all([page.waitForEvent("download"), button("Export all").click()]);
    const file = await download.path();
    assert.equal(JSON.parse(await readFile(file, "utf8")).conversations.length, 1);
    await button("Delete all").click();
    await button("Delete all: are you sure?").click();
    await page.locator(".row").waitFor({ state: "detached" });
    await page.locator("#import-file").setInputFiles(file);
    await page.locator(".notice", { hasText: "1 imported" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".row-open", { hasText: "keep this" }).click();
    await page.locator(".answer", { hasText: "You said: keep this" }).waitFor();
    clean();
  });

  it("says why a file cannot be imported", async () => {
    page = await open();
    await button("Settings").last().click();
    await page.locator("#import-file").setInputFiles({ name: "x.json", mimeType: "application/json", buffer: Buffer.from('{"format":"other"}') });
    await page.locator(".notice", { hasText: "not an export" }).waitFor();
  });

  it("stays alike in two tabs", async () => {
    page = await open();
    const other = await page.context().newPage();
    await other.goto(page.url());
    await say(page, "seen by both");
    await settled(page);
    await other.locator(".row", { hasText: "seen by both" }).waitFor();
  });

  it("shows in one tab what is said in another one", async () => {
    page = await open();
    await say(page, "shared");
    await settled(page);
    const other = await page.context().newPage();
    await other.goto(page.url());
    await other.locator(".row-open", { hasText: "shared" }).click();
    await other.locator(".answer", { hasText: "You said: shared" }).waitFor();
    await say(page, "more of it");
    await other.locator(".answer", { hasText: "You said: more of it" }).waitFor();
    await page.locator(".row").hover();
    await page.getByRole("button", { name: /^Delete/ }).click();
    await other.locator(".welcome").waitFor();
  });

  it("says that the browser has no room left, and goes on", async () => {
    page = await open();
    await page.evaluate(() => {
      IDBObjectStore.prototype.put = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
    });
    await say(page, "hello");
    await settled(page);
    await page.locator(".notice", { hasText: "no room left" }).waitFor();
    await say(page, "again");
    await page.locator(".answer", { hasText: "You said: again" }).waitFor();
    assert.equal(lastRequest().messages.length, 3);
    clean();
  });

  it("keeps half an answer when the tab closes", async () => {
    page = await open();
    await say(page, "talk slowly");
    await page.waitForFunction(() => (document.querySelector(".answer .markdown")?.textContent ?? "").length > 1000);
    await page.reload();
    await page.locator(".row-open").first().click();
    await eventually(async () => assert.match(await answers(page).innerText(), /word word[^]*Stopped/));
  });
});

describe("the keyboard", mocked, () => {
  it("begins a line with Shift and Enter", async () => {
    page = await open();
    const composer = page.locator("#composer");
    await composer.press("a");
    await composer.press("Shift+Enter");
    await composer.press("b");
    await eventually(async () => assert.equal(await composer.inputValue(), "a\nb"));
    await eventually(async () => assert.equal(await answers(page).count(), 0));
  });

  it("sends nothing while an input method composes", async () => {
    page = await open();
    const composer = page.locator("#composer");
    await composer.focus();
    const session = await page.context().newCDPSession(page);
    await session.send("Input.imeSetComposition", { text: "\u306b\u307b\u3093", selectionStart: 3, selectionEnd: 3 });
    await composer.evaluate((e) => e.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true })));
    await composer.evaluate((e) => e.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true })));
    await session.send("Input.insertText", { text: "\u65e5\u672c" });
    await eventually(async () => assert.equal(await composer.inputValue(), "\u65e5\u672c"));
    await eventually(async () => assert.equal(await answers(page).count(), 0));
    await composer.press("Enter");
    await settled(page);
    assert.equal(lastRequest().messages[0].content, "\u65e5\u672c");
  });

  it("does everything without a pointer", async () => {
    page = await open();
    await page.waitForFunction(() => document.activeElement?.id === "composer"); // by itself
    await page.keyboard.type("hello");
    await page.keyboard.press("Enter");
    await settled(page);
    await page.keyboard.press("Control+Shift+Enter");
    await page.locator(".branches").waitFor();
    await settled(page);
    await page.keyboard.press("Control+/");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+,");
    await page.getByRole("dialog", { name: "Settings" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+b");
    await page.locator(".sidebar").waitFor({ state: "hidden" });
    await page.keyboard.press("Control+Shift+o");
    await page.locator(".welcome").waitFor();
    clean();
  });

  it("sends nothing that is only in the address", async () => {
    const before = mock.state.requests.length;
    page = await open({ path: "?q=hello&prompt=hello&message=hello#q=hello" });
    await page.waitForTimeout(500);
    assert.equal(mock.state.requests.length, before);
    await eventually(async () => assert.equal(await page.locator("#composer").inputValue(), ""));
  });
});

describe("trouble", mocked, () => {
  const failing = async (fail, words) => {
    page = await open();
    mock.behaviour.fail = fail;
    await say(page, "hello");
    await page.locator(".error-card", { hasText: words }).waitFor();
    mock.behaviour.fail = null;
    await page.getByRole("button", { name: /^Try again/ }).first().click();
    await page.locator(".answer", { hasText: "You said: hello" }).waitFor();
    await eventually(async () => assert.equal(await page.locator(".branches").count(), 0));
    clean();
  };

  it("429 is said in words, with the wait that the server asks for", async () => {
    await failing({ status: 429, message: "The queue holds 512 requests.", headers: { "Retry-After": "9" } }, "The server is busy");
  });
  it("503 is said in words", () => failing({ status: 503, message: "Draining." }, "The server is not ready"));
  it("500 is said in words", () => failing({ status: 500, message: "Internal error 7f3a." }, "Internal error 7f3a."));
  it("a bad parameter is named", () => failing({ status: 400, message: "Must be at most 20.", param: "top_logprobs" }, "(top_logprobs)"));
  it("a conversation that is too long is said to be so", () => failing({ status: 400, message: "40000 tokens do not fit 32768.", code: "context_length_exceeded" }, "no longer fits"));

  it("a wrong key leads to the field for it", async () => {
    page = await open();
    mock.behaviour.key = "secret";
    await say(page, "hello");
    await page.getByRole("button", { name: "Enter a key" }).click();
    const field = page.getByLabel("Key for this server");
    await eventually(async () => assert.ok(await field.evaluate((e) => e === document.activeElement)));
    await field.fill("secret");
    await field.press("Enter");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".answer", { hasText: "You said: hello" }).waitFor();
    await eventually(async () => assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes("secret")), false));
    await page.reload();
    await page.getByRole("button", { name: "Enter a key" }).click();
    await page.getByLabel("Key for this server").fill("secret");
    await page.getByLabel("Remember it").check();
    await page.keyboard.press("Escape");
    await page.reload();
    await page.waitForTimeout(200);
    await eventually(async () => assert.equal(await page.locator(".error-card").count(), 0));
    clean();
  });

  it("a stream that breaks off keeps what came", async () => {
    page = await open();
    await say(page, "break off");
    await page.locator(".error-card", { hasText: "connection was lost" }).waitFor();
    await eventually(async () => assert.match(await answers(page).innerText(), /This answer stops in the mid/));
  });

  it("an error in mid stream is shown in the server's words", async () => {
    page = await open();
    await say(page, "fail later");
    await page.locator(".error-card", { hasText: "The engine lost its way." }).waitFor();
    await eventually(async () => assert.match(await answers(page).innerText(), /This answer fails/));
  });

  it("a server that is gone is noticed, and so is its return", async () => {
    page = await open();
    await mock.stop();
    await say(page, "hello");
    await page.locator(".error-card", { hasText: "cannot be reached" }).waitFor();
    await page.locator(".status.is-lost").waitFor();
    await mock.start();
    await page.locator(".status.is-lost").waitFor({ state: "detached", timeout: 15_000 });
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".answer", { hasText: "You said: hello" }).waitFor();
  });
});
