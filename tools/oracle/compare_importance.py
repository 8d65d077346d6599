#!/usr/bin/env python3
"""Importance files: what llama.cpp's llama-imatrix writes in fathom, and what fathom writes in llama-quantize.

    npm install --prefix DIR --ignore-scripts node-llama-cpp @node-llama-cpp/linux-x64
    tools/oracle/compare_importance.py --llama DIR --fathom build/release/fathom --tokenizer FOLDER --text FILE
        [--write-goldens tests/golden/imatrix]

On a tiny model of random weights (writer_bases.py), with the same text in windows of 512 tokens:
  means      of squares by column, as llama-imatrix and `fathom quantize --calibration` find them
  forms      GGUF and .dat of llama-imatrix: named by `fathom inspect`, read by `fathom quantize --importance`
  types      of the tensors, as llama-quantize chooses them with the same file
  error      of the weights, squared and weighted by the columns' means, over that of llama-quantize
  back       llama-quantize reads what `fathom quantize --save-importance` wrote
Exit code 1 when one of them fails. The two programs are built from the sources in the npm package.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

import writer_bases
from llama_oracle import Llama
from oracle_common import Fathom

WINDOW = 512
MIXES = ("Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q2_K_S", "IQ4_NL", "IQ4_XS")
CLOSE = 5e-4  # of a tensor's largest mean: float32 on both sides
CLOSE_EXPERTS = 1e-2  # a near-tie of the router may fall the other way
# llama.cpp sees what each head makes of the latents, fathom's expanded form the latents.
OTHERWISE = ("attn_v_b", "attn_kv_b")


def run(*command, folder=None):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          cwd=folder)
    if done.returncode:
        raise SystemExit(f"{command[0]}: exit {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def tensors_of(path):
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def values_of(tensor):
    return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)


def means_of(path):
    """{tensor: mean squares, (matrices, columns)}"""
    found = {name: np.array(tensor.data, np.float64) for name, tensor in tensors_of(path).items()}
    counts = {name.removesuffix(".counts"): value.reshape(-1, 1) for name, value in found.items()
              if name.endswith(".counts")}
    return {name: found[name + ".in_sum2"].reshape(len(n), -1) / np.maximum(n, 1) for name, n in counts.items()}


def compare_means(ours, theirs, report):
    apart = {name: np.abs(ours[name] - theirs[name]).max() / theirs[name].max() for name in sorted(ours.keys() & theirs)
             if not any(part in name for part in OTHERWISE)}
    for what, is_kind, bound in (("of matrices", lambda name: "_exps" not in name, CLOSE),
                                 ("of experts", lambda name: "_exps" in name, CLOSE_EXPERTS)):
        worst = max((value for name, value in apart.items() if is_kind(name)))
        report(worst <= bound, f"means {what}", f"at most {worst:.1e} of the largest apart, {len(apart)} tensors in all")


def weighted_error(path, exact, means):
    total = 0.0
    for name, tensor in tensors_of(path).items():
        if name not in means:
            continue
        difference = (values_of(tensor) - values_of(exact[name])).reshape(-1, tensor.shape[1], tensor.shape[0])
        weights = means[name].reshape(len(means[name]), 1, -1)
        if weights.shape[2] != difference.shape[2]:  # one count for all matrices of a stack
            weights = weights.reshape(-1, 1, difference.shape[2])
        total += float((difference**2 * weights / weights.mean()).sum())
    return total


def compare_quantised(fathom, llama, model, file, mix, scratch, report):
    ours, theirs = scratch / "ours.gguf", scratch / "theirs.gguf"
    for path in (ours, theirs):
        path.unlink(missing_ok=True)
    fathom.run("quantize", "-q", "-m", model, "--type", mix, "--importance", file, "-o", ours)
    run(llama.program("quantize"), "--imatrix", file, model, theirs, mix, 1)
    a, b = tensors_of(ours), tensors_of(theirs)
    other = [name for name in a.keys() | b if name not in a or name not in b or a[name].tensor_type != b[name].tensor_type]
    exact, means = tensors_of(model), means_of(scratch / "llama.gguf")
    ratio = weighted_error(ours, exact, means) / weighted_error(theirs, exact, means)
    report(not other and ratio < 1.01, f"{mix}, {file.suffix}",
           f"{'the same types' if not other else f'other types: {other[:3]}'}; error {ratio:.3f} of llama-quantize's")


def check_named(fathom, file, form, report):
    said = fathom.run("inspect", file)
    found = json.loads(fathom.run("inspect", file, "--json"))
    report(form in said and found["kind"] == "importance data of llama.cpp" and found["chunks"] > 0,
           f"inspect, {file.suffix}", said.splitlines()[0].split(None, 1)[1] + f"; {len(found['tensors'])} tensors")


def write_goldens(llama, fathom, base, folder, text, scratch):
    """Of few tokens, so that some experts are never chosen."""
    folder.mkdir(parents=True, exist_ok=True)
    fathom.run("convert", base, scratch / "small.gguf", "--quiet")
    (scratch / "text.txt").write_text(text.read_text(encoding="utf-8")[:2000], encoding="utf-8")
    for form in ("gguf", "dat"):
        run(llama.program("imatrix"), "-m", "small.gguf", "-f", "text.txt", "-c", 16, "-b", 16, "--chunks", 1, "--no-ppl", "-t", 1,
            "--output-format", form, "-o", folder.resolve() / f"llama.{form}", folder=scratch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--llama", "--fathom", "--tokenizer", "--text"):
        parser.add_argument(name, type=pathlib.Path, required=True)
    parser.add_argument("--bases", type=pathlib.Path, help="folder of bases that writers.py kept")
    parser.add_argument("--write-goldens", type=pathlib.Path, metavar="FOLDER")
    arguments = parser.parse_args()
    fathom = Fathom(arguments.fathom.resolve(), os.environ | {"FATHOM_TUNE": "off"})
    llama, failed = Llama(arguments.llama.resolve()), []

    def report(passed, what, found):
        failed.extend([] if passed else [what])
        print(f"| {what} | {found} | {'' if passed else 'FAILED'} |", flush=True)

    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        bases = arguments.bases or scratch
        for base in ("v2", "lite_wide"):
            if not (bases / base).exists():
                writer_bases.make_base(base, arguments.tokenizer, bases / base)
        if arguments.write_goldens:
            return write_goldens(llama, fathom, bases / "v2", arguments.write_goldens, arguments.text, scratch)
        model = scratch / "model.gguf"
        fathom.run("convert", bases / "lite_wide", model, "--quiet")
        for form in ("gguf", "dat"):
            run(llama.program("imatrix"), "-m", model, "-f", arguments.text, "-c", WINDOW, "--no-ppl", "-t", 1,
                "--process-output", "--output-format", form, "-o", scratch / f"llama.{form}")
        chunks = json.loads(fathom.run("inspect", scratch / "llama.gguf", "--json"))["chunks"]
        own = scratch / "fathom.gguf"
        fathom.run("quantize", "-q", "-m", model, "--type", "Q8_0", "--calibration", arguments.text,
                   "--calibration-tokens", chunks * WINDOW, "--save-importance", own, "-o", scratch / "scrap.gguf")
        compare_means(means_of(own), means_of(scratch / "llama.gguf"), report)
        for form, words in (("gguf", "(GGUF)"), ("dat", "the older form")):
            check_named(fathom, scratch / f"llama.{form}", words, report)
            for mix in MIXES:
                compare_quantised(fathom, llama, model, scratch / f"llama.{form}", mix, scratch, report)
        said = run(llama.program("quantize"), "--imatrix", own, model, scratch / "back.gguf", "IQ4_XS", 1)
        missing = [line.split()[-1] for line in said.splitlines() if "did not find weights" in line]
        report("importance matrix entries from" in said and missing in ([], ["token_embd.weight"]),
               "back: llama-quantize, IQ4_XS", f"read; without data: {', '.join(missing) or 'nothing'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
