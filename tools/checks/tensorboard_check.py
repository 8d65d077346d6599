#!/usr/bin/env python3
"""What TensorBoard reads from a run is what metrics.jsonl says.

    pip install tensorboard
    tools/checks/tensorboard_check.py RUN...

For each run folder: reads RUN/tensorboard with TensorBoard's own EventAccumulator and compares every scalar of every step
with RUN/metrics.jsonl, rounded to float32, and every array with the counts of its histogram. Steps that a resumed run
repeated must be there once. Prints one line a run; exits with 1 when anything differs.
"""
import collections
import json
import math
import pathlib
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator

NOT_METRICS = {"step", "tokens", "time"}


def float32(x):
    """x rounded to float32; None (a NaN or an infinity) stays None."""
    return None if x is None or not math.isfinite(x) else struct.unpack("<f", struct.pack("<f", x))[0]


def expected(run: pathlib.Path):
    scalars, arrays = collections.defaultdict(list), collections.defaultdict(list)
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for name, value in record.items():
            if name in NOT_METRICS:
                continue
            if isinstance(value, list):
                finite = [v for v in value if v is not None]
                if finite:
                    arrays[name].append((record["step"], len(finite), min(finite), max(finite), sum(finite)))
            else:
                scalars[name].append((record["step"], float32(value)))
    return scalars, arrays


def problems(run: pathlib.Path):
    scalars, arrays = expected(run)
    found = event_accumulator.EventAccumulator(
        str(run / "tensorboard"), size_guidance=event_accumulator.STORE_EVERYTHING_SIZE_GUIDANCE
    ).Reload()
    tags = found.Tags()
    for kind, names in (("scalars", scalars), ("histograms", arrays)):
        for name in sorted(set(tags[kind]) ^ set(names)):
            yield f"{kind}: {name} is in one of the two only"
    for name in sorted(set(scalars) & set(tags["scalars"])):
        got = [(e.step, float32(e.value)) for e in found.Scalars(name)]
        if got != scalars[name]:
            yield f"{name}: {len(got)} values from TensorBoard, {len(scalars[name])} in metrics.jsonl, or they differ"
    for name in sorted(set(arrays) & set(tags["histograms"])):
        got = [(e.step, e.histogram_value) for e in found.Histograms(name)]
        if [s for s, _ in got] != [a[0] for a in arrays[name]]:
            yield f"{name}: other steps"
            continue
        for (step, h), (_, n, least, greatest, total) in zip(got, arrays[name]):
            if (h.num, h.min, h.max, sum(h.bucket)) != (n, least, greatest, n) or not math.isclose(h.sum, total):
                yield f"{name}, step {step}: {h} for {n} values in [{least}, {greatest}] of sum {total}"
    n_scalars, n_arrays = sum(map(len, scalars.values())), sum(map(len, arrays.values()))
    print(f"{run}: {len(scalars)} scalars with {n_scalars} values, {len(arrays)} arrays with {n_arrays}")


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    bad = 0
    for run in map(pathlib.Path, sys.argv[1:]):
        for line in problems(run):
            print(f"{run}: {line}")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
