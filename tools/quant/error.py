#!/usr/bin/env python3
"""The error of fathom's encoders beside llama.cpp's, on the tensors of a model.

    fathom synth --shape tiny --type f32 f32.gguf && fathom convert f32.gguf q4_k_m.gguf --type q4_k_m
    python3 tools/quant/error.py --ggml libggml-base.so f32.gguf q4_k_m.gguf

libggml-base.so is llama.cpp's own encoder; npm's @node-llama-cpp/linux-x64 has it prebuilt in bins/linux-x64/.
Needs: pip install gguf.
"""
import argparse
import collections
import ctypes

import numpy as np
from gguf import GGUFReader, quants


def squared_error(data, tensor_type, want):
    return float(((quants.dequantize(data, tensor_type).reshape(want.shape).astype(np.float64) - want) ** 2).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ggml", required=True, metavar="LIBRARY")
    parser.add_argument("original", help="a GGUF of type f32")
    parser.add_argument("quantised", help="the same model, converted by fathom")
    args = parser.parse_args()
    chunk = ctypes.CDLL(args.ggml).ggml_quantize_chunk
    chunk.restype = ctypes.c_size_t
    chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    original = {t.name: t for t in GGUFReader(args.original).tensors}
    sums = collections.defaultdict(lambda: [0, 0, 0.0, 0.0, 0.0])
    for t in GGUFReader(args.quantised).tensors:
        if t.tensor_type.name in ("F32", "F16", "BF16"):
            continue
        x = np.ascontiguousarray(original[t.name].data, dtype=np.float32).reshape(-1, int(t.shape[0]))
        theirs = np.zeros(t.data.size, dtype=np.uint8)
        chunk(int(t.tensor_type), x.ctypes.data, theirs.ctypes.data, 0, x.shape[0], x.shape[1], None)
        ours = np.ascontiguousarray(t.data).reshape(-1)
        s = sums[t.tensor_type.name]
        s[0] += 1
        s[1] += bool(np.array_equal(ours, theirs))
        s[2] += squared_error(ours.reshape(x.shape[0], -1), t.tensor_type, x)
        s[3] += squared_error(theirs.reshape(x.shape[0], -1), t.tensor_type, x)
        s[4] += float((x.astype(np.float64) ** 2).sum())
    for name, (n, same, ours, theirs, power) in sorted(sums.items()):
        print(f"{name}: {n} tensors, {same} of equal bytes; relative error {np.sqrt(ours / power):.5f}, "
              f"llama.cpp {np.sqrt(theirs / power):.5f}, ratio {np.sqrt(ours / theirs):.4f}")


if __name__ == "__main__":
    main()
