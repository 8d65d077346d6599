#!/usr/bin/env python3
"""Writes what PyPI gguf's numpy code (gguf/quants.py) computes for blocks of every format: tests/golden/quant/.

    python3 tools/quant/goldens.py                                      # the committed files
    python3 tools/quant/goldens.py --out DIR --blocks 4000 --seed 7     # many more: tools/quant/compare.py

FORMAT.decode: int32 n_blocks, the blocks' bytes, then their float32 values.
FORMAT.encode: int32 n_blocks, float32 values, then the blocks' bytes. Only the formats that gguf has an encoder for.
Needs: pip install gguf (0.19 made the committed files).
"""
import argparse
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf import quants

DECODED = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
           "IQ4_NL", "IQ4_XS"]
ENCODED = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]
# Offsets of the half-precision fields in a block: random bytes make NaN, infinite and huge scales too rarely or too often.
HALF_FIELDS = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108],
               "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}
EDGE_HALVES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF, 0x7C00, 0x7E00]  # +-0, subnormals, +-65504, inf, nan


def random_blocks(rng, name, n):
    """Random bytes; scales mostly of the size that weights have, the first blocks with one edge value each."""
    size = GGML_QUANT_SIZES[Type[name]][1]
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for field in HALF_FIELDS.get(name, []):
        scales = (rng.standard_normal(n) * 10.0 ** rng.integers(-4, 3, n)).astype(np.float16)
        blocks[:, field:field + 2] = scales.view(np.uint8).reshape(n, 2)
        for i, half in enumerate(EDGE_HALVES[:n]):
            blocks[i, field:field + 2] = np.array([half], dtype=np.uint16).view(np.uint8)
    if size > 2:
        body = [i for i in range(size) if not any(f <= i < f + 2 for f in HALF_FIELDS.get(name, []))]
        for i, byte in enumerate([0, 255], start=len(EDGE_HALVES)):
            blocks[i, body] = byte
    return blocks


def edge_values(rng, n):
    """Blocks that have gone wrong in somebody's encoder once."""
    x = rng.standard_normal(n).astype(np.float32)
    spike = np.zeros(n, np.float32)
    spike[n // 3] = -3.0
    rows = [np.zeros(n), np.full(n, -0.0), np.full(n, 1.0), np.full(n, -0.37), np.full(n, 1e-30), x * 1e-38, x * 1e-41,
            np.full(n, 2.0 ** -149), spike, -spike, x * 1e4, x * 1e6, x * 1e30, x + 100, x - 100, np.abs(x), -np.abs(x),
            np.arange(n) / 2 - n / 4, np.arange(n) * 0.5, np.where(np.arange(n) % 2 == 0, 1.0, -1.0), np.clip(x, -0.5, 0.5),
            np.where(x > 0, 0.0, -0.0), np.round(x * 4) / 8, x * 6e-8, x * 1e-7]
    return np.array(rows, dtype=np.float32)


def write(path, n, first, second):
    path.write_bytes(struct.pack("<i", n) + first.tobytes() + second.tobytes())
    print(path.name, n, "blocks", path.stat().st_size, "bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "quant"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    parser.add_argument("--blocks", type=int, default=0, help="random blocks of each format (default: a few KB of them)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    np.seterr(all="ignore")
    for name in DECODED:
        rng = np.random.default_rng([args.seed, len(name), ord(name[1]), ord(name[-1])])
        per_block = GGML_QUANT_SIZES[Type[name]][0]
        n = args.blocks or {1: 512, 32: 40, 256: 14}[per_block]
        blocks = random_blocks(rng, name, n)
        write(args.out / f"{name.lower()}.decode", n, blocks, quants.dequantize(blocks, Type[name]).astype(np.float32))
    for name in ENCODED:
        rng = np.random.default_rng([args.seed, 77, ord(name[1]), ord(name[-1])])
        per_block = GGML_QUANT_SIZES[Type[name]][0]
        n = args.blocks or 24
        width = max(per_block, 32)
        scale = 10.0 ** rng.integers(-6, 4, (n, 1))
        x = np.concatenate([edge_values(rng, width), (rng.standard_normal((n, width)) * scale).astype(np.float32)])
        write(args.out / f"{name.lower()}.encode", x.size // per_block, x, quants.quantize(x, Type[name]).view(np.uint8))


if __name__ == "__main__":
    main()
