#!/usr/bin/env python3
"""Holds a fathom binary against transformers, live, on every fixture and on checkpoints of fresh random weights.

    python tools/oracle/compare_transformers.py --fathom build/release/fathom [--only NAME ...] [--fresh N]

Per checkpoint, with the tolerance of 1e-4 of the largest logit's magnitude at every position:
  forward   logits of all prompts; 64 greedy tokens through `fathom generate`, with its cache
  chunks    the same logits with prompts run 1 and 7 tokens at a time (absorbed attention, growing cache)
  gguf      folder -> GGUF by hf_to_gguf.py (both MLA layouts) -> fathom
  convert   folder -> GGUF -> folder by `fathom convert`, the last loaded by transformers and by fathom; folder ->
            F8_E4M3 folder, its dequantised values in transformers; what GGUF cannot say is refused
  synth     (once) folders of `fathom synth --shape tiny`, loaded by transformers
  bf16      --activations bf16 against transformers in bfloat16: see BF16_FACTOR
Exit code 1 when anything differs. --skip names stages to leave out.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

import hf_to_gguf
import make_fixtures
from oracle_common import (Fathom, RELATIVE_TOLERANCE, is_fp8, load_model, logits_of, read_json,
                           relative_difference)

STAGES = ("forward", "chunks", "gguf", "convert", "bf16", "synth")
# bfloat16 keeps 8 bits, and two frameworks round at different points, so no fixed bound follows from arithmetic. What
# must hold: fathom's bf16 logits are no further from transformers' bf16 logits than this many times the distance
# between transformers' own bf16 and float32 logits (both as the median over positions).
BF16_FACTOR = 2.0


class Report:
    def __init__(self):
        self.failures, self.checks, self.worst = [], 0, 0.0

    def logits(self, what, got, expected, tolerance=RELATIVE_TOLERANCE):
        difference, position = relative_difference(got, expected)
        self.worst = max(self.worst, difference)
        self.check(difference <= tolerance, f"{what}: logits differ by {difference:.2e} at position {position}")

    def check(self, passed, what):
        self.checks += 1
        if not passed:
            self.failures.append(what)
            print("FAILED", what, flush=True)


class Case:
    """One checkpoint: its folder, what transformers says of it, and its prompts."""

    def __init__(self, name, folder, expected):
        self.name, self.folder, self.patches = name, folder, expected["patches"]
        self.model = load_model(folder, self.patches)
        self.prompts = [prompt["ids"] for prompt in expected["prompts"]]
        self.tables = [logits_of(self.model, ids) for ids in self.prompts]
        self.greedy = [prompt["greedy"] for prompt in expected["prompts"]]
        self.config = read_json(folder / "config.json")

    def rope_scaling(self):
        return hf_to_gguf.rope_of(self.config)[1] or {}

    def has_gguf_form(self):
        rope = self.rope_scaling()
        return rope.get("mscale") == rope.get("mscale_all_dim")


def check_goldens(case, expected, report):
    """The committed logits are what this machine's transformers computes (other releases may round elsewhere)."""
    for number, prompt in enumerate(expected["prompts"]):
        if "logits" in prompt:
            report.logits(f"{case.name}: committed against live, prompt {number}", case.tables[number],
                          np.load(case.folder / prompt["logits"]))


def compare_all(case, fathom, model, report, what, *options):
    for number, (ids, table) in enumerate(zip(case.prompts, case.tables)):
        report.logits(f"{case.name}: {what}, prompt {number}", fathom.logits(model, ids, *options), table)


def stage_forward(case, fathom, report, _scratch):
    compare_all(case, fathom, case.folder, report, "forward")
    for number, (ids, greedy) in enumerate(zip(case.prompts, case.greedy)):
        got = fathom.greedy(case.folder, ids, len(greedy))
        report.check(got == greedy, f"{case.name}: greedy tokens of prompt {number} differ: {got} for {greedy}")


def stage_chunks(case, fathom, report, _scratch):
    for chunk in (1, 7):
        compare_all(case, fathom, case.folder, report, f"chunks of {chunk}", "--chunk", chunk)


def stage_gguf(case, fathom, report, scratch):
    if is_fp8(case.folder) or not case.has_gguf_form():
        return
    for joined in (False, True) if case.config["model_type"] == "deepseek_v2" else (False,):
        out = scratch / f"twin-{joined}.gguf"
        hf_to_gguf.convert(case.folder, out, "f32", joined)
        compare_all(case, fathom, out, report, "our GGUF twin, kv_b joined" if joined else "our GGUF twin")


def stage_convert(case, fathom, report, scratch):
    gguf, folder = scratch / "converted.gguf", scratch / "converted"
    if not case.has_gguf_form():
        done = subprocess.run([fathom.program, "convert", case.folder, gguf], capture_output=True, text=True)
        report.check(done.returncode == 2 and "mscale" in done.stderr, f"{case.name}: not refused: {done.stderr}")
        return
    fathom.run("convert", case.folder, gguf, "--type", "f32")
    fathom.run("convert", gguf, folder, "--type", "f32")
    compare_all(case, fathom, gguf, report, "fathom convert to GGUF")
    compare_all(case, fathom, folder, report, "fathom convert to GGUF and back")
    model = load_model(folder, case.patches)
    for number, (ids, table) in enumerate(zip(case.prompts, case.tables)):
        report.logits(f"{case.name}: transformers on fathom's folder, prompt {number}", logits_of(model, ids), table)


    eight = scratch / "eight"
    fathom.run("convert", case.folder, eight, "--type", "f8_e4m3")
    table = logits_of(load_model(eight, case.patches), case.prompts[-1])
    report.logits(f"{case.name}: fathom convert to F8_E4M3", fathom.logits(eight, case.prompts[-1]), table)


def check_synth(fathom, report, scratch):
    ids = list(range(3, 1000, 11))
    for kind in ("f32", "bf16", "f16", "f8_e4m3"):
        folder = scratch / f"synth-{kind}"
        fathom.run("synth", "--shape", "tiny", "--type", kind, folder)
        report.logits(f"synth tiny {kind}", fathom.logits(folder, ids), logits_of(load_model(folder), ids))


def stage_bf16(case, fathom, report, _scratch):
    ids, exact = case.prompts[-1], case.tables[-1]
    theirs = logits_of(load_model(case.folder, case.patches, torch.bfloat16), ids)
    ours = fathom.logits(case.folder, ids, "--activations", "bf16")
    scale = np.abs(exact).max(axis=1)
    noise = float(np.median(np.abs(theirs - exact).max(axis=1) / scale))
    apart = float(np.median(np.abs(ours - theirs).max(axis=1) / scale))
    report.check(apart <= BF16_FACTOR * noise, f"{case.name}: bf16 runs are {apart:.3f} apart, rounding is {noise:.3f}")


def cases(arguments, scratch):
    for name in arguments.only:
        folder = arguments.models / name
        expected = read_json(folder / "expected.json")
        yield Case(name, folder, expected), expected
    for number in range(arguments.fresh):
        name = list(make_fixtures.FIXTURES)[number % len(make_fixtures.FIXTURES)]
        fixture, folder = make_fixtures.FIXTURES[name], scratch / f"fresh-{number}"
        for seed in range(10**6 + 1000 * number, 10**6 + 1000 * number + 200):
            folder.mkdir(exist_ok=True)
            expected, _why = make_fixtures.attempt(name, fixture, seed, folder)
            if expected:
                yield Case(f"{name} (seed {seed})", folder, expected), None
                break


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    names = sorted(path.parent.name for path in (root / "tests/golden/models").glob("*/expected.json"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fathom", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=pathlib.Path, default=root / "tests/golden/models")
    parser.add_argument("--only", nargs="*", choices=names,
                        default=[name for name in names if name in make_fixtures.FIXTURES])
    parser.add_argument("--fresh", type=int, default=0, help="also N checkpoints of new random weights")
    parser.add_argument("--skip", nargs="*", choices=STAGES, default=[])
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    fathom, report = Fathom(arguments.fathom.resolve()), Report()
    with tempfile.TemporaryDirectory() as scratch:
        for case, committed in cases(arguments, pathlib.Path(scratch)):
            before = report.checks
            if committed:
                check_goldens(case, committed, report)
            for stage in STAGES:
                if stage in arguments.skip or stage == "synth":
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        globals()["stage_" + stage](case, fathom, report, pathlib.Path(folder))
                    except RuntimeError as error:
                        report.check(False, f"{case.name}: {stage}: {error}")
            print(f"{case.name}: {report.checks - before} checks", flush=True)
        if "synth" not in arguments.skip:
            check_synth(fathom, report, pathlib.Path(scratch))
    print(f"transformers {transformers.__version__}: {report.checks} checks, {len(report.failures)} failed, "
          f"largest difference {report.worst:.2e} of the largest logit")
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
