#!/usr/bin/env python3
"""`fathom tokenizer train` against Hugging Face's BpeTrainer (PyPI tokenizers) on the same text.

    tools/tokenizer/train_compare.py --fathom build/release/fathom --vocab-size 4096 --held-out FILE INPUT.jsonl ...

Both learn from the "text" fields of the inputs; then
  merges       how many are the same, in the same order, before the first difference
  ids          of every document of FILE: fathom's tokenizer.json, loaded in Hugging Face, against `fathom tokenize`
  compression  bytes per token of both vocabularies on FILE, within 0.5 %
Exits with 1 when ids differ or compression is further apart. Prints one JSON object.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from tokenizers import Tokenizer, models, trainers


def texts(paths):
    for path in paths:
        for line in path.open(encoding="utf-8"):
            yield json.loads(line)["text"]


def train_with_hugging_face(ours, model, inputs, vocab_size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = ours.pre_tokenizer
    alphabet = [t for t, i in sorted(model["vocab"].items(), key=lambda item: item[1])[:243]]
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 2, min_frequency=2, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator(texts(inputs), trainer)
    return tokenizer


def merges_of(tokenizer):
    return [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in json.loads(tokenizer.to_str())["model"]["merges"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fathom", required=True)
    parser.add_argument("--vocab-size", type=int, required=True)
    parser.add_argument("--held-out", type=pathlib.Path, required=True)
    parser.add_argument("inputs", type=pathlib.Path, nargs="+")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        subprocess.run([o.fathom, "tokenizer", "train", "-q", "-n", str(o.vocab_size), "-o", folder, "-i", *map(str, o.inputs)], check=True, stdout=subprocess.DEVNULL)
        fathom_seconds = time.monotonic() - start
        ours = Tokenizer.from_file(folder + "/tokenizer.json")
        ours.encode_special_tokens = True
        start = time.monotonic()
        theirs = train_with_hugging_face(ours, json.loads(ours.to_str())["model"], o.inputs, o.vocab_size)
        seconds = time.monotonic() - start

        held_out = list(texts([o.held_out]))
        n_ours = n_theirs = different = 0
        for text in held_out:
            ids = ours.encode(text, add_special_tokens=False).ids
            run = subprocess.run([o.fathom, "tokenize", "-m", folder, "--ids", "--no-bos"], input=text.encode(), capture_output=True, check=True)
            different += ids != [int(i) for i in run.stdout.split()]
            n_ours += len(ids)
            n_theirs += len(theirs.encode(text, add_special_tokens=False).ids)
    a, b = merges_of(ours), merges_of(theirs)
    same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    n_bytes = sum(len(t.encode()) for t in held_out)
    result = {"vocab_size": o.vocab_size, "merges": len(a), "merges_hugging_face": len(b), "equal_before_first_difference": same, "in_both": len(set(a) & set(b)),
              "held_out_documents": len(held_out), "documents_with_other_ids": different, "bytes_per_token": n_bytes / n_ours,
              "bytes_per_token_hugging_face": n_bytes / n_theirs, "seconds": round(fathom_seconds, 1), "seconds_hugging_face": round(seconds, 1)}
    print(json.dumps(result))
    sys.exit(different > 0 or abs(n_ours / n_theirs - 1) > 0.005)


if __name__ == "__main__":
    main()
