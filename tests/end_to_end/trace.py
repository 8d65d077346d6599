#!/usr/bin/env python3
"""--trace FILE of generate, bench and train: a file of Chrome's trace events whose zones are named, nest, and say where
the time of a run went; the run itself gives the same.

    trace.py FATHOM
"""
import json
import pathlib
import subprocess
import sys
import tempfile

FATHOM = sys.argv[1]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, code=0):
    done = subprocess.run([FATHOM, *map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (command, done.returncode, done.stderr)
    return done


def check_nesting(events):
    """Zones of one thread lie inside or beside each other, to the microsecond's last digit."""
    by_thread = {}
    for e in events:
        by_thread.setdefault(e["tid"], []).append((e["ts"], e["ts"] + e["dur"], e["name"]))
    for zones in by_thread.values():
        open_ends = []
        for begin, end, name in sorted(zones, key=lambda z: (z[0], -z[1])):
            while open_ends and open_ends[-1] <= begin + 0.0015:
                open_ends.pop()
            assert not open_ends or end <= open_ends[-1] + 0.0015, name
            open_ends.append(end)


def zones(path):
    trace = json.loads(path.read_text())
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in events)
    assert trace["otherData"]["zones_left_out"] == 0
    check_nesting(events)
    return events


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    traced = folder / "trace.json"

    model = folder / "tiny.gguf"
    run("synth", "--shape", "tiny", "--type", "q4_0", "--seed", "1", model)
    arguments = ["generate", "-m", model, "--ids", "5,6,7,8,9", "-n", "8", "--temperature", "0", "-t", "2", "--quiet"]
    plain = run(*arguments).stdout
    assert run(*arguments, "--trace", traced).stdout == plain
    events = zones(traced)
    names = {e["name"] for e in events}
    assert {"load model", "pack weights", "step", "layer", "attention", "attend", "route", "experts", "combine", "lm_head",
            "sample"} <= names, names
    assert {e["tid"] for e in events} <= {0, 1}  # on a busy machine the caller does all parts
    steps = [e for e in events if e["name"] == "step"]
    assert len(steps) >= 2 and sum(e["dur"] for e in steps) > 0
    inside = sum(e["dur"] for e in events if e["name"] == "layer" and e["tid"] == 0)
    assert 0 < inside <= sum(e["dur"] for e in steps)

    run("bench", "-m", model, "--work", "prefill:16:0", "--repetitions", "1", "--no-limits", "--quiet", "--trace", traced)
    assert any(e["name"] == "step" and e.get("args", {}).get("n") == 16 for e in zones(traced))

    run("train", f"{ROOT}/configs/tiny.toml", "-o", folder / "run", "--steps", "2", "--quiet", "--trace", traced)
    names = {e["name"] for e in zones(traced)}
    assert {"training step", "layer", "layer backward", "optimizer"} <= names, names

    # Refused before any work, and nothing is left.
    for bad in (folder / "missing" / "t.json", folder, "-"):
        done = run("generate", "-m", model, "--ids", "5", "-n", "1", "--trace", bad, code=2)
        assert done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(folder.glob("*.partial"))
print("traces are named, nested and whole")
