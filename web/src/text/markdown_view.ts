// Shows a growing Markdown text in an element. Blocks that did not change keep their elements, so that a selection in them stays and a long
// answer costs what its last block costs.
import { directionOf } from "./direction";
import { blockHtml, blocksOf, type Block } from "./markdown";
import { renderMath } from "./math";
import { sanitise } from "./sanitise";

// What is longer is shown plain: some Markdown takes time that grows with the square of its length, and every formula takes some.
export const kLongestMarkdown = 200_000; // characters of a text
const kLongestBlock = 20_000; // characters of a block that is no code
const kMostFormulas = 300; // in a block

interface Shown {
  raw: string;
  element: HTMLElement;
}

export class MarkdownView {
  private shown: Shown[] = [];

  constructor(private readonly host: HTMLElement) {}

  update(text: string): void {
    try {
      this.showBlocks(blocksOf(text));
    } catch {
      this.showPlain(text); // nested too deeply
    }
  }

  private showBlocks(blocks: Block[]): void {
    let same = 0;
    while (same < blocks.length && same < this.shown.length && this.shown[same]!.raw === blocks[same]!.raw) ++same;
    for (const { element } of this.shown.splice(same)) element.remove();
    if (this.shown.length === 0) this.host.replaceChildren();
    for (const block of blocks.slice(same)) {
      const element = elementOf(block);
      this.host.append(element);
      this.shown.push({ raw: block.raw, element });
    }
  }

  private showPlain(text: string): void {
    this.host.replaceChildren(plainElement(text));
    this.shown = [];
  }
}

const kDirected = "p, h3, h4, h5, h6, td, th, summary";
const kDirectedWhole = "ul, ol, blockquote, table"; // bullets, bars and columns go with the text

function plainElement(text: string): HTMLElement {
  const plain = document.createElement("pre");
  plain.className = "plain-text";
  plain.textContent = text;
  return plain;
}

function elementOf(block: Block): HTMLElement {
  const element = document.createElement("div");
  element.className = "block";
  if (block.raw.length > kLongestBlock && !block.isCode) {
    element.append(plainElement(block.raw));
    return element;
  }
  element.append(sanitise(blockHtml(block)));
  for (const node of element.querySelectorAll<HTMLElement>(kDirected)) node.dir = "auto"; // right-to-left scripts
  for (const node of element.querySelectorAll<HTMLElement>(kDirectedWhole)) node.dir = directionOf(node.textContent ?? "");
  const formulas = [...element.querySelectorAll<HTMLElement>(".math")].slice(0, kMostFormulas);
  for (const node of formulas) renderMath(node, node.classList.contains("math-display"));
  for (const node of element.querySelectorAll<HTMLElement>(".math-display")) makeScrollable(node, "Formula");
  for (const node of element.querySelectorAll<HTMLElement>("pre")) node.replaceWith(withBar(node));
  for (const node of element.querySelectorAll<HTMLElement>("table")) node.replaceWith(scrollable(node.cloneNode(true) as HTMLElement, "Table"));
  return element;
}

// What is wider than the column scrolls by itself, also by keyboard.
function makeScrollable(box: HTMLElement, label: string): void {
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", label);
}

function scrollable(content: HTMLElement, label: string): HTMLElement {
  const box = document.createElement("div");
  box.className = "scrollable";
  makeScrollable(box, label);
  box.append(content);
  return box;
}

function withBar(pre: HTMLElement): HTMLElement {
  const language = /language-(\S+)/.exec(pre.querySelector("code")?.className ?? "")?.[1] ?? "";
  const box = document.createElement("div");
  box.className = "code";
  box.dir = "ltr";
  const name = document.createElement("span");
  name.textContent = language || "text";
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "copy-code";
  copy.textContent = "Copy";
  const bar = document.createElement("div");
  bar.className = "code-bar";
  bar.append(name, copy);
  box.append(bar, scrollable(pre.cloneNode(true) as HTMLElement, language ? `Code, ${language}` : "Code"));
  return box;
}
