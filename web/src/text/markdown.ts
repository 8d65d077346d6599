// Markdown to HTML. HTML inside it is shown as text, but for a few plain tags: what a model writes is then seen, never run nor lost.
// The result still goes through sanitise.ts before it becomes part of the page.
import { Lexer, Marked, type Links, type Tokens, type TokenizerAndRendererExtension } from "marked";
import { highlight } from "./highlight";

const kPlainTag = /&lt;(\/?)(br|sub|sup|kbd|mark|u|s|b|i|em|strong|small|del|ins|wbr|hr|details|summary)\s*(\/?)&gt;/gi;

export function escapeHtml(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;").replace(/'/g, "&#39;");
}

function formula(tex: string, display: boolean): string {
  return `<span class="math${display ? " math-display" : ""}">${escapeHtml(tex)}</span>`;
}

// $$...$$ and \[...\] on lines of their own.
const blockMath: TokenizerAndRendererExtension = {
  name: "blockMath",
  level: "block",
  start: (source) => source.match(/(?:^|\n) {0,3}(?:\$\$|\\\[)/)?.index,
  tokenizer(source) {
    const match = /^ {0,3}(?:\$\$((?:[^$\\]|\\[^]|\$(?!\$))+?)\$\$|\\\[((?:[^\\]|\\(?!\]))+?)\\\])[ \t]*(?:\n|$)/.exec(source);
    return match ? { type: "blockMath", raw: match[0], tex: (match[1] ?? match[2] ?? "").trim() } : undefined;
  },
  renderer: (token) => `<p>${formula(token.tex as string, true)}</p>`,
};

// $...$ where no space follows the first dollar or precedes the second, and no digit follows: "$5 and $6" are prices. Also \(...\), and
// $$...$$ and \[...\] within a line.
const inlineMath: TokenizerAndRendererExtension = {
  name: "inlineMath",
  level: "inline",
  start: (source) => source.match(/\$|\\[([]/)?.index,
  tokenizer(source) {
    const display = /^(?:\$\$((?:[^$\\]|\\[^])+?)\$\$|\\\[((?:[^\\]|\\(?!\]))+?)\\\])/.exec(source);
    if (display) return { type: "inlineMath", raw: display[0], tex: (display[1] ?? display[2] ?? "").trim(), display: true };
    const inline = /^(?:\$(?!\s)((?:[^$\\\n]|\\[^\n])+?)(?<!\s)\$(?!\d)|\\\(((?:[^\\]|\\(?!\)))+?)\\\))/.exec(source);
    return inline ? { type: "inlineMath", raw: inline[0], tex: (inline[1] ?? inline[2] ?? "").trim(), display: false } : undefined;
  },
  renderer: (token) => formula(token.tex as string, token.display as boolean),
};

const kLinkTarget = /^(?:https?:\/\/|mailto:)/i;

const marked = new Marked({
  gfm: true,
  breaks: true,
  extensions: [blockMath, inlineMath],
  renderer: {
    html: ({ text }: Tokens.HTML | Tokens.Tag) => escapeHtml(text).replace(kPlainTag, "<$1$2$3>"),
    code({ text, lang }: Tokens.Code) {
      const language = (lang ?? "").trim().split(/\s/, 1)[0]!.toLowerCase();
      return `<pre><code class="language-${escapeHtml(language)}">${highlight(text, language) ?? escapeHtml(text)}</code></pre>`;
    },
    // The page's own headings stand above those of a message.
    heading({ tokens, depth }: Tokens.Heading) {
      const level = Math.min(6, depth + 2);
      return `<h${level} class="heading-${depth}">${this.parser.parseInline(tokens)}</h${level}>`;
    },
    link({ href, title, tokens }: Tokens.Link) {
      const text = this.parser.parseInline(tokens);
      if (!kLinkTarget.test(href)) return `${text} <span class="link-target">(${escapeHtml(href)})</span>`;
      return `<a href="${escapeHtml(href)}" title="${escapeHtml(title || href)}">${text}</a>`;
    },
    // Pictures would be fetched from other hosts, and tell them what was said.
    image({ href, text }: Tokens.Image) {
      const name = escapeHtml(text || "picture");
      return kLinkTarget.test(href) ? `<a href="${escapeHtml(href)}" title="${escapeHtml(href)}">${name}</a>` : name;
    },
    checkbox: ({ checked }: Tokens.Checkbox) => (checked ? "\u2611 " : "\u2610 "),
  },
});

// A paragraph, list, table, piece of code, ...
export interface Block {
  raw: string;
  isCode: boolean;
  links: Links; // [name]: address, anywhere in the text
}

// The blocks of a text, in order. What is within them is read by blockHtml alone, so that a growing text costs what its last block costs.
export function blocksOf(text: string): Block[] {
  const lexer = new Lexer(marked.defaults);
  const tokens = lexer.blockTokens(text.replace(/\r\n?/g, "\n"));
  const links = lexer.tokens.links;
  return tokens.filter(({ type }) => type !== "space" && type !== "def").map(({ raw, type }) => ({ raw, isCode: type === "code", links }));
}

export function blockHtml({ raw, links }: Block): string {
  const lexer = new Lexer(marked.defaults);
  lexer.tokens.links = links;
  return marked.parser(lexer.lex(raw));
}
