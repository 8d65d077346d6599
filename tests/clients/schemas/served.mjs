// Some of the schemas of schema_samples as response_format of a running server: what it answers is accepted by ajv.
//     node served.mjs < samples.jsonl
import { createInterface } from 'node:readline';
import addFormats from 'ajv-formats';
import Ajv2020 from 'ajv/dist/2020.js';
import { kKey, startServer } from '../support/fathom.mjs';

const kSchemas = 80, kAtATime = 8;
const schemas = new Set();
for await (const line of createInterface({ input: process.stdin })) {
  schemas.add(JSON.stringify(JSON.parse(line).schema));
  if (schemas.size === kSchemas) break;
}

const server = await startServer();
const counts = { accepted: 0, unfinished: 0, wrong: 0 };
const left = [...schemas].entries();

async function ask(seed, schema) {
  const answer = await fetch(`${server.v1}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${kKey}` },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'x' }], seed, temperature: 1, max_tokens: 400,
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: JSON.parse(schema) } } }),
  });
  const body = await answer.json();
  if (!answer.ok) return `${answer.status} ${body.error.message}`;
  const [{ finish_reason, message }] = body.choices;
  if (finish_reason === 'length') return null;
  const ajv = new Ajv2020({ strict: false, validateFormats: true });
  addFormats(ajv);
  const validate = ajv.compile(JSON.parse(schema));
  try {
    return validate(JSON.parse(message.content)) ? '' : `${message.content}\n  ${JSON.stringify(validate.errors)}`;
  } catch (error) {
    return `${message.content}\n  ${error}`;
  }
}

await Promise.all(Array.from({ length: kAtATime }, async () => {
  for (const [i, schema] of left) {
    const problem = await ask(i, schema);
    ++counts[problem === null ? 'unfinished' : problem === '' ? 'accepted' : 'wrong'];
    if (problem) console.log(`WRONG: ${problem}\n  schema: ${schema}`);
  }
}));
await server.stop();
console.log(`ajv: ${counts.accepted} answers of a server accepted, ${counts.wrong} not; ${counts.unfinished} had no tokens left to end`);
process.exit(counts.wrong === 0 && counts.accepted > kSchemas / 2 ? 0 : 1);
