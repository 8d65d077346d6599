#!/usr/bin/env python3
"""The text of token data (`fathom data build`): of the documents held out, or a sample of those trained on.

    tools/data/data_text.py data/ --split held_out > held_out.txt
    tools/data/data_text.py data/ --split train --tokens-per-shard 7000 > calibration.txt

Documents are shuffled (seed 1) and cut to 1500 tokens when sampled. Needs the PyPI package `tokenizers`.
Layout of the files: src/data/shard.h."""
import argparse
import pathlib
import random
import struct

from tokenizers import Tokenizer


def documents(path):
    data = path.read_bytes()
    n_documents, n_tokens = struct.unpack_from("<QQ", data, 16)
    begins = struct.unpack_from(f"<{n_documents + 1}Q", data, 64)
    ids = struct.unpack_from(f"<{n_tokens}i", data, 64 + 8 * (n_documents + 1) + 16 * n_documents)
    return [ids[begins[i]:begins[i + 1]] for i in range(n_documents)]


def sampled(docs, limit):
    random.shuffle(docs)
    taken, total = [], 0
    for d in docs:
        if total >= limit:
            break
        taken.append(d[:1500])
        total += len(taken[-1])
    return taken


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", type=pathlib.Path)
parser.add_argument("--split", choices=["held_out", "train"], required=True)
parser.add_argument("--tokens-per-shard", type=int, default=0, help="0: all")
args = parser.parse_args()

random.seed(1)
tokenizer = Tokenizer.from_file(str(args.data / "tokenizer.json"))
chosen = []
for shard in sorted(args.data.glob(f"*-{args.split}-*.tokens")):
    docs = documents(shard)
    chosen += sampled(docs, args.tokens_per_shard) if args.tokens_per_shard else docs
random.shuffle(chosen)
print("\n\n".join(tokenizer.decode(list(d), skip_special_tokens=True) for d in chosen))
