// The same questions to llama.cpp through node-llama-cpp's own interface, for who has Node.js and no C compiler:
//
//     node tools/oracle/llama_greedy.mjs MODEL.gguf --modules DIR/node_modules --ids "1 2 3" [-n 64]
//     node tools/oracle/llama_greedy.mjs MODEL.gguf --modules DIR/node_modules --texts texts.json
//
// --ids: one line of JSON, the greedy tokens. --texts (a JSON array of strings): one line of JSON a string, its ids
// with special tokens as text and parsed. Its cache is float16, so comparisons of logits are llama_oracle.py's.
import {readFileSync} from "node:fs";
import path from "node:path";
import {pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    modules: {type: "string", default: "node_modules"},
    ids: {type: "string"},
    texts: {type: "string"},
    n: {type: "string", short: "n", default: "64"},
  },
});
if (positionals.length !== 1 || !values.ids === !values.texts) {
  console.error('usage: llama_greedy.mjs MODEL.gguf --modules DIR (--ids "1 2 3" [-n 64] | --texts FILE.json)');
  process.exit(2);
}

const library = path.resolve(values.modules, "node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(library).href);
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 1});
const model = await llama.loadModel({modelPath: path.resolve(positionals[0])});

async function greedyTokens(ids, n) {
  const context = await model.createContext({contextSize: 1024, threads: 1});
  const chosen = [];
  for await (const token of context.getSequence().evaluate(ids, {temperature: 0, yieldEogToken: true})) {
    chosen.push(token);
    if (chosen.length === n) break;
  }
  await context.dispose();
  return chosen;
}

if (values.ids) {
  const ids = values.ids.trim().split(/\s+/).map(Number);
  console.log(JSON.stringify(await greedyTokens(ids, Number(values.n))));
} else {
  for (const text of JSON.parse(readFileSync(values.texts, "utf8")))
    console.log(JSON.stringify({asText: [...model.tokenize(text, false)], parsed: [...model.tokenize(text, true)]}));
}
await llama.dispose();
