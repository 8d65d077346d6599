#!/usr/bin/env python3
"""How far fathom's logits of quantised files are from llama.cpp's on the same file, and both from exact arithmetic.

    python tools/oracle/divergence_llama.py --fathom build/release/fathom --llama DIR --model CHECKPOINT --text FILE
        [--types q8_0 q4_0 ...] [--windows 8] [--tokens 256]

CHECKPOINT (a folder of safetensors) is quantised by `fathom quantize`; FILE is text that the model was not trained on.
DIR is as for compare_llama.py. Both engines round activations to 8 bits before they multiply; "exact" is fathom with
--arithmetic exact on the same file, which rounds nothing, and "llama.cpp F32" is llama.cpp on the file's values
converted to F32, where it rounds nothing either. Mean KL divergence over all positions, in nats.
"""
import argparse
import pathlib
import tempfile

import numpy as np

from llama_oracle import Llama
from oracle_common import Fathom


def log_probabilities(logits):
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def divergence(p, q):
    """KL(p || q) of each row, both as log probabilities."""
    return (np.exp(p) * (p - q)).sum(axis=-1)


def compare(arguments, llama, kind, folder):
    path, plain = folder / f"{kind}.gguf", folder / f"{kind}-f32.gguf"
    fathom = Fathom(arguments.fathom)
    fathom.run("quantize", "-m", arguments.model, "--type", kind, "-q", "-o", path)
    fathom.run("convert", path, plain, "--type", "f32", "-q")
    found = {"llama.cpp, fathom": [], "exact, fathom": [], "exact, llama.cpp": [], "llama.cpp F32, exact": []}
    with llama.open(path) as model, llama.open(plain) as unrounded:
        ids = model.tokenize(arguments.text.read_text(errors="replace"))
        for i in range(arguments.windows):
            window = ids[i * arguments.tokens:(i + 1) * arguments.tokens]
            fast, exact = (log_probabilities(fathom.logits(path, window, arithmetic=a)) for a in ("fast", "exact"))
            peer, plain_peer = (log_probabilities(m.logits(window)) for m in (model, unrounded))
            for name, rows in zip(found, ((peer, fast), (exact, fast), (exact, peer), (plain_peer, exact))):
                found[name].append(divergence(*rows))
    parts = [f"{name} {np.concatenate(rows).mean():.2e}" for name, rows in found.items()]
    print(f"{kind:8} " + "   ".join(parts), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name in ("fathom", "llama", "model", "text"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--types", nargs="+", default=["q8_0", "q5_0", "q4_0"])
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    arguments = parser.parse_args()
    llama = Llama(arguments.llama)
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.types:
            compare(arguments, llama, kind, pathlib.Path(folder))


if __name__ == "__main__":
    main()
