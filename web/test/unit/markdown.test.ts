import { describe, expect, it } from "vitest";
import { blockHtml, blocksOf } from "../../src/text/markdown";
import { MarkdownView } from "../../src/text/markdown_view";
import hostile from "../samples/hostile.md?raw";
import sample from "../samples/markdown.md?raw";

const html = (text: string) => blocksOf(text).map(blockHtml).join("");

function shown(text: string): HTMLElement {
  const host = document.createElement("div");
  new MarkdownView(host).update(text);
  return host;
}

describe("formulas", () => {
  it.each([
    ["$x$", 1],
    ["\\(x\\) and $y$", 2],
    ["a $x + y$ b", 1],
    ["$5 and $6", 0],
    ["$ x $", 0],
    ["`$x$`", 0],
    ["\\$x\\$", 0],
    ["$$\nx\n$$", 1],
    ["\\[\nx\n\\]", 1],
    ["text $$x$$ text", 1],
    ["$a\\$b$", 1],
    ["```\n$x$\n```", 0],
    ["$x", 0],
  ])("%j has %i", (text, count) => {
    expect(html(text).match(/class="math/g) ?? []).toHaveLength(count);
  });

  it("keeps what TeX means and Markdown would change", () => {
    expect(html("$a_1 * b_2 * c$")).toContain(">a_1 * b_2 * c<");
    expect(html("$a < b$")).toContain(">a &lt; b<");
  });

  it("are built, with MathML for screen readers and no style attribute on it", () => {
    const host = shown("$\\pmb{x} \\fcolorbox{red}{blue}{y} \\frac12$");
    expect(host.querySelector(".katex math")).not.toBeNull();
    expect(host.querySelectorAll("math [style], math[style]")).toHaveLength(0);
  });

  it("that are no TeX stay as they were written", () => {
    const host = shown("$\\frac{1$ and $\\def\\a{\\a\\a}\\a$");
    expect([...host.querySelectorAll(".math-error")].map((e) => e.textContent)).toEqual(["\\frac{1", "\\def\\a{\\a\\a}\\a"]);
  });
});

describe("HTML within Markdown", () => {
  it("is shown as text, but for plain tags", () => {
    expect(shown("a <b>bold</b><br>H<sub>2</sub>O").querySelectorAll("b, br, sub")).toHaveLength(3);
    const host = shown("<script>alert(1)</script> <b onclick=x>y</b> <div>z</div>");
    expect(host.querySelectorAll("script, div div div, [onclick]")).toHaveLength(0);
    expect(host.textContent).toContain("<script>alert(1)</script>");
    expect(host.textContent).toContain("<b onclick=x>");
  });

  it("of the hostile sample leaves no element that could act", () => {
    const host = shown(hostile);
    const allowed = /^(http:|https:|mailto:)/;
    for (const element of host.querySelectorAll("*")) {
      expect(["SCRIPT", "IFRAME", "IMG", "OBJECT", "EMBED", "FORM", "INPUT", "LINK", "STYLE", "BASE", "META", "VIDEO", "TEMPLATE"]).not.toContain(element.tagName.toUpperCase());
      for (const { name, value } of element.attributes) {
        expect(name).not.toMatch(/^on|^id$|^name$|^srcdoc$/);
        if (name === "href") expect(value).toMatch(allowed);
      }
    }
    expect(host.textContent).toContain("window.pwned = 1");
  });
});

describe("links and pictures", () => {
  it("lead to other pages without telling them of this one", () => {
    const link = shown("[x](https://example.org/a?b=c&d=e)").querySelector("a")!;
    expect(link.href).toBe("https://example.org/a?b=c&d=e");
    expect(link.rel).toBe("noopener noreferrer");
    expect(link.target).toBe("_blank");
  });

  it("that are no web addresses are text with their target", () => {
    const host = shown("[x](javascript:alert(1)) [y](/v1/models)");
    expect(host.querySelector("a")).toBeNull();
    expect(host.textContent).toContain("(/v1/models)");
  });

  it("pictures become links, so that nothing is fetched", () => {
    const host = shown("![a chart](https://example.org/x.png)");
    expect(host.querySelector("img")).toBeNull();
    expect(host.querySelector("a")!.textContent).toBe("a chart");
  });
});

describe("code", () => {
  it("is coloured in known languages and kept in others", () => {
    expect(shown("```python\ndef f(): pass\n```").querySelectorAll(".hljs-keyword")).toHaveLength(2);
    expect(shown("```py\nx\n```").querySelector(".code-bar span")!.textContent).toBe("py");
    expect(shown("```nonsense\na < b\n```").querySelector("pre")!.textContent).toBe("a < b");
  });

  it("keeps its text to the character, so that copying gives it", () => {
    const code = "int a = b < c && d > e;\n\tif (x) { \"<script>\" }\n";
    expect(shown("```cpp\n" + code + "```").querySelector("pre")!.textContent).toBe(code.trimEnd());
  });

  it("of more than 50,000 characters stays plain", () => {
    expect(shown("```python\n" + "def f(): pass\n".repeat(5000) + "```").querySelector(".hljs-keyword")).toBeNull();
  });
});

describe("structure", () => {
  it("puts headings below those of the page", () => {
    const host = shown("# a\n\n###### b");
    expect([...host.querySelectorAll("h3, h6")].map((h) => h.textContent)).toEqual(["a", "b"]);
    expect(host.querySelector("h1")).toBeNull();
  });

  it("keeps the alignment of columns and the number a list begins with", () => {
    const host = shown("| a | b |\n|:-:|--:|\n| 1 | 2 |\n\n7. x");
    expect([...host.querySelectorAll("th")].map((c) => c.getAttribute("align"))).toEqual(["center", "right"]);
    expect(host.querySelector("ol")!.start).toBe(7);
  });

  it("gives each paragraph its own direction", () => {
    expect(shown("hello\n\n\u0645\u0631\u062d\u0628\u0627").querySelectorAll('p[dir="auto"]')).toHaveLength(2);
  });

  it("falls back to plain text where Markdown is nested too deeply", () => {
    const deep = ">".repeat(20_000) + " x";
    expect(shown(deep).textContent).toContain("x");
    expect(shown("[".repeat(20_000)).textContent).toContain("[");
  });
});

describe("MarkdownView", () => {
  it("shows the same whether a text came at once or letter by letter", () => {
    const host = document.createElement("div");
    const view = new MarkdownView(host);
    for (let i = 1; i <= sample.length; i += 7) view.update(sample.slice(0, i));
    view.update(sample);
    expect(host.innerHTML).toBe(shown(sample).innerHTML);
  });

  it("keeps the elements of blocks that did not change", () => {
    const host = document.createElement("div");
    const view = new MarkdownView(host);
    view.update("first\n\nsecond");
    const first = host.firstElementChild;
    view.update("first\n\nsecond and more\n\nthird");
    expect(host.firstElementChild).toBe(first);
    expect(host.children).toHaveLength(3);
    view.update("first");
    expect(host.children).toHaveLength(1);
  });
});
