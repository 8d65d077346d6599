// Formulas by KaTeX. It builds elements and sets their styles through the DOM, which the page's content security policy allows; only three
// MathML nodes carry a `style` attribute (\pmb, \fcolorbox, unknown commands), which it would not, so that those attributes are left out.
import { __renderToDomTree, type KatexOptions } from "katex";

declare module "katex" {
  export function __renderToDomTree(tex: string, options: KatexOptions): Tree;
}

interface TreeNode {
  attributes?: Record<string, string>;
  children?: TreeNode[];
}

interface Tree extends TreeNode {
  toNode(): Node;
}

const kLongest = 10_000; // characters

const kOptions: KatexOptions = {
  throwOnError: true,
  strict: "ignore",
  trust: false, // no links, images or HTML out of a formula
  maxExpand: 500, // macros
  maxSize: 40, // em, of rules and spaces
};

// Depth first with a stack of our own, for the depth is the model's choice.
function withoutStyleAttributes(tree: Tree): Tree {
  const open: TreeNode[] = [tree];
  for (let node = open.pop(); node; node = open.pop()) {
    delete node.attributes?.style;
    for (const child of node.children ?? []) open.push(child);
  }
  return tree;
}

// Replaces the content of `host`, which is TeX, by the formula. What is no valid TeX stays as it was written, with the reason as its title.
export function renderMath(host: HTMLElement, display: boolean): void {
  const tex = host.textContent ?? "";
  if (tex.length > kLongest) return;
  try {
    const tree: Tree = __renderToDomTree(tex, { ...kOptions, displayMode: display });
    host.replaceChildren(withoutStyleAttributes(tree).toNode());
  } catch (error) {
    host.classList.add("math-error");
    host.title = error instanceof Error ? error.message : String(error);
  }
}
