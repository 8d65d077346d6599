#!/usr/bin/env python3
"""Writes tests/golden/gguf/: small files by PyPI gguf's GGUFWriter, one whole and one split over two files.

    python3 tools/quant/gguf_goldens.py
    python3 tools/quant/gguf_goldens.py --read FILE...    # the other way: PyPI gguf's GGUFReader lists a file of ours

Needs: pip install gguf (0.19 made the committed files).
"""
import argparse
import pathlib

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants


def add_metadata(w):
    w.add_uint8("t.u8", 200)
    w.add_int8("t.i8", -100)
    w.add_uint16("t.u16", 60000)
    w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4_000_000_000)
    w.add_int32("t.i32", -2_000_000_000)
    w.add_float32("t.f32", 0.1)
    w.add_bool("t.bool", True)
    w.add_string("t.string", "two\nlines \u00e9 \U0001f999")
    w.add_string("t.empty", "")
    w.add_uint64("t.u64", 2**64 - 1)
    w.add_int64("t.i64", -2**63)
    w.add_float64("t.f64", 0.1)
    w.add_array("t.strings", ["<bos>", "", "\u0120t"])
    w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.floats", [0.5, -1.25])
    w.add_array("t.bools", [True, False])


def add_tensors(w):
    w.add_tensor("a.weight", np.arange(6, dtype=np.float32).reshape(2, 3))
    w.add_tensor("b.norm.weight", np.array([1.5, -2.5], dtype=np.float16))
    x = ((np.arange(4 * 64, dtype=np.float32) - 100) / 7).reshape(4, 64)
    q = quants.quantize(x, GGMLQuantizationType.Q8_0)
    w.add_tensor("blk.0.q8.weight", q, raw_dtype=GGMLQuantizationType.Q8_0)
    w.add_tensor("blk.0.stack.weight", np.arange(24, dtype=np.float32).reshape(2, 3, 4))


def write(path, **options):
    w = GGUFWriter(path, "test", **options)
    add_metadata(w)
    add_tensors(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def list_file(path):
    reader = GGUFReader(path)
    for name, field in reader.fields.items():
        print(name, "=", repr(field.contents())[:200])
    for t in reader.tensors:
        values = quants.dequantize(t.data, t.tensor_type).reshape(-1)
        print(t.name, t.tensor_type.name, list(reversed(t.shape.tolist())), "sum", float(values.astype(np.float64).sum()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", nargs="+", metavar="FILE")
    args = parser.parse_args()
    if args.read:
        for path in args.read:
            list_file(path)
        return
    folder = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "whole.gguf")
    write(folder / "split.gguf", split_max_tensors=2)
    for path in sorted(folder.glob("*.gguf")):
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
