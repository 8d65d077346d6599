import { readFileSync, readdirSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

// Of each font, the one form that every browser of the last ten years reads.
const woff2Only: Plugin = {
  name: "woff2-only",
  enforce: "pre",
  transform(code, id) {
    if (!id.includes("katex") || !id.endsWith(".css")) return undefined;
    return code.replace(/(src:\s*url\([^)]*\.woff2\)\s*format\(['"]?woff2['"]?\))[^;}]*/g, "$1");
  },
};

// The licences of the packages that are part of the output, from the packages themselves.
const kBundled = ["@preact/signals", "@preact/signals-core", "dompurify", "highlight.js", "idb", "katex", "marked", "preact"];

function licence(name: string): string {
  const folder = `node_modules/${name}`;
  const file = readdirSync(folder).find((f) => /^licen[cs]e/i.test(f));
  const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8")) as { version: string; license: string };
  return `${name} ${version} (${license})\n\n${file ? readFileSync(`${folder}/${file}`, "utf8").replace(/\r/g, "").trim() : ""}\n`;
}

const licences: Plugin = {
  name: "licences",
  generateBundle() {
    const head = "The chat page of fathom contains these packages, under these licences.\n";
    this.emitFile({ type: "asset", fileName: "LICENSES.txt", source: [head, ...kBundled.map(licence)].join(`\n${"-".repeat(78)}\n\n`) });
  },
};

export default defineConfig({
  base: "./", // works under any path
  plugins: [woff2Only, licences],
  build: {
    target: ["chrome123", "edge123", "firefox128", "safari17.5"],
    assetsInlineLimit: 0, // a data: font would need another policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/props": "http://127.0.0.1:8080" } },
  test: { include: ["test/unit/**/*.test.ts"], environment: "jsdom", pool: "threads", maxWorkers: 1 },
} as Parameters<typeof defineConfig>[0]);
