#!/usr/bin/env python3
"""Compares fathom's decoders and encoders with PyPI gguf's on many random blocks: new goldens, then the tests that read them.

    python3 tools/quant/compare.py [--tests build/release/quant_tests] [--blocks 4000] [--seeds 5]
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=pathlib.Path, default=HERE.parent / "build" / "release" / "quant_tests")
    parser.add_argument("--blocks", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    for seed in range(100, 100 + args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, HERE / "goldens.py", "--out", folder, "--blocks", str(args.blocks), "--seed", str(seed)],
                           check=True, stdout=subprocess.DEVNULL)
            run = subprocess.run([args.tests, "--gtest_filter=*Golden*"], env={**os.environ, "FATHOM_QUANT_GOLDENS": folder},
                                 capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"seed {seed}: differences\n{run.stdout[-4000:]}")
        print(f"seed {seed}: {args.blocks} random blocks of each format, decoded and encoded: no difference")


if __name__ == "__main__":
    main()
