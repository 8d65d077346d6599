// Validates the lines of schema_samples (samples.cpp) with ajv, which knows nothing of fathom:
//
//     npm ci && build/release/schema_samples 1000 | node tests/clients/schemas/validate.mjs
//
// Exits with 1 when a text is no JSON or its schema does not accept it; the first of them are printed.
import { createInterface } from 'node:readline';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const options = { strict: false, allErrors: false, validateFormats: true, discriminator: false };
let schemas = 0, texts = 0, wrong = 0;
let last = '', validate = null;

for await (const line of createInterface({ input: process.stdin })) {
  const { schema, text } = JSON.parse(line);
  const key = JSON.stringify(schema);
  if (key !== last) {
    const ajv = new Ajv2020(options);
    addFormats(ajv);
    validate = ajv.compile(schema);
    last = key;
    ++schemas;
  }
  ++texts;
  let problem = null;
  try {
    if (!validate(JSON.parse(text))) problem = JSON.stringify(validate.errors);
  } catch (error) {
    problem = String(error);
  }
  if (problem !== null && ++wrong <= 10) console.log(`WRONG: ${text}\n  schema: ${key}\n  ${problem}`);
}
console.log(`ajv: ${texts} texts of ${schemas} schemas, ${wrong} not accepted`);
process.exit(wrong === 0 && texts > 0 ? 0 : 1);
