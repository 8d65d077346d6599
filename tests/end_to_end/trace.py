#!/usr/bin/env python3
"""--trace FILE of generate, bench and train: a file of Chrome's trace events whose zones are named, nest, and say where
the time of a run went; the run itself gives the same.

    trace.py FATHOM
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

FATHOM = sys.argv[1]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, code=0, **more):
    done = subprocess.run([FATHOM, *map(str, command)], capture_output=True, text=True, timeout=300, **more)
    assert done.returncode == code, (command, done.returncode, done.stderr)
    return done


def refused(sentence, kept, *command):
    """Exit code 2 and one sentence; the file `kept` is as it was."""
    before = kept.read_bytes() if kept.exists() else None
    done = run(*command, code=2)
    assert sentence in done.stderr and done.stdout == "", (command, done.stderr)
    assert (kept.read_bytes() if kept.exists() else None) == before, f"{command} wrote {kept}"


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


def interrupted(*command):
    """A `generate` that is sent SIGINT once a token is out: its exit code and stderr."""
    with subprocess.Popen([FATHOM, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    return process.returncode, stderr.decode()


def check_traces(folder, traced, model):
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


def check_inputs_and_outputs(folder, model):
    """A trace replaces nothing that the run reads or writes, under any name of it."""
    one = ["generate", "-q", "-m", model, "-n", "1"]
    link = folder / "link.json"
    link.symlink_to(model)
    for name in (model, link):
        refused("is also an input", model, *one, "--ids", "5", "--trace", name)
        refused("is also an input", model, "bench", "-q", "-m", model, "--trace", name)
        refused("is also an input", model, "bench", "-q", "-m", model, "--plot", name)
    as_folder = folder / "model"
    run("synth", "-q", "--shape", "tiny", "--type", "bf16", "--seed", "1", as_folder)
    config = as_folder / "config.json"
    refused("is also an input", config, "generate", "-q", "-m", as_folder, "--ids", "5", "--trace", config)
    refused("is also an input", config, "bench", "-q", "-m", as_folder, "--plot", config)

    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"ids": [5, 6]}\n')
    refused("is also an input", prompts, *one, "-f", prompts, "--trace", prompts)
    refused("is also an input", prompts, *one, "--prompts", prompts, "--trace", prompts)
    refused("is also an input", model, *one, "--ids", "5", "--draft-model", model, "--trace", model)
    new = folder / "new"
    refused("other output", new, *one, "--prompts", prompts, "-o", new, "--trace", folder / "." / "new")
    refused("other output", new, "bench", "-q", "-m", model, "--trace", new, "--plot", new)
    link.unlink()
    return prompts


def check_training(folder, traced):
    text = (ROOT / "configs" / "tiny.toml").read_text().replace('path = "', f'path = "{ROOT}/configs/')
    config = folder / "tiny.toml"
    config.write_text(text)
    run_folder = folder / "training"
    train = ["train", config, "-q", "-o", run_folder, "--steps", "1", "--trace"]
    for name, sentence in ((config, "is also an input"), (run_folder / "metrics.jsonl", "other output"),
                           (run_folder / "step-00000001" / "config.json", "there is no folder")):
        refused(sentence, name, *train, name)
    run(*train, run_folder / "trace.json")  # in a folder that the run makes
    assert any(e["name"] == "training step" for e in zones(run_folder / "trace.json"))
    saved, = run_folder.glob("step-*/config.json")
    refused("is also an input", saved, *train, saved)
    refused("other output", run_folder / "metrics.jsonl", *train, run_folder / "metrics.jsonl")
    run(*train, run_folder / "trace.json")  # the next part of the run

    # A run that has nothing to do.
    short = folder / "short.toml"
    short.write_text("".join("tokens = 1\n" if line.startswith("tokens = ") else f"{line}\n" for line in text.splitlines()))
    run("train", short, "-q", "-o", folder / "finished")
    traced.write_text("older")
    run("train", short, "-q", "-o", folder / "finished", "--trace", traced)
    assert traced.read_text() == "older"


def check_ends(model, prompts, traced):
    """An older trace stays where a run is refused; a trace that cannot be written is no success, and hides no signal."""
    one = ["generate", "-q", "-m", model, "-n", "1"]
    traced.write_text("older")
    refused("outside the model's vocabulary", traced, *one, "--ids", "999999999", "--trace", traced)
    refused("none: ", traced, *one, "-f", traced.with_name("none"), "--trace", traced)
    refused("max_position_embeddings", traced, *one, "--ids", "5", "-c", "999999999", "--trace", traced)
    refused("threads", traced, "bench", "-q", "-m", model, "--threads", "0", "--trace", traced)
    for command in ([*one, "--ids", "5"], [*one, "--prompts", prompts],
                    ["bench", "-q", "-m", model, "--work", "prefill:16:0", "--repetitions", "1", "--no-limits"]):
        done = run(*command, "--trace", "/dev/full", code=2)
        assert done.stdout and done.stderr.count("/dev/full: ") == 1, (command, done.stderr)
    for command in (["bench", "--plot", "x.svg", "--plot-from", "x.json"], ["train", "--keys"]):
        assert "--trace" in run(*command, "--trace", traced, code=2).stderr

    endless = ["generate", "-q", "-m", model, "--ids", "5", "-n", "-1", "--ignore-eos", "--trace"]
    code, stderr = interrupted(*endless, traced)
    assert code == -signal.SIGINT and any(e["name"] == "sample" for e in zones(traced)), (code, stderr)
    code, stderr = interrupted(*endless, "/dev/full")
    assert code == -signal.SIGINT and stderr.count("/dev/full: ") == 1, (code, stderr)


def check_refused_before_packing(folder, model):
    """What is wrong with a request is said before the weights are packed, which `cached` would leave a file of."""
    cache = folder / "cache"
    cache.mkdir()
    empty = folder / "empty"
    empty.write_text("")
    environment = {**os.environ, "FATHOM_CACHE_DIR": str(cache), "FATHOM_TUNE": "off"}

    def early(*command):
        run(*command, "-q", "-m", model, "--weights", "cached", code=2, env=environment)
        assert not list(cache.iterdir()), command

    for request in (["--ids", "five"], ["--ids", "999999999"], ["-f", folder / "none"], ["-f", empty],
                    ["--ids", "5", "--speculate", "draft"]):
        early("generate", *request)
    early("chat", "--speculate", "draft")
    early("logits", "--ids", "999999999")
    early("perplexity", "-f", folder / "none")
    early("perplexity", "-f", empty)
    run("generate", "-q", "-m", model, "--weights", "cached", "--ids", "5", "-n", "1", env=environment)
    assert list(cache.iterdir()), "the cache is not where this test looks"


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    tiny = scratch / "tiny.gguf"
    trace_file = scratch / "trace.json"
    run("synth", "--shape", "tiny", "--type", "q4_0", "--seed", "1", tiny)
    check_traces(scratch, trace_file, tiny)
    prompt_file = check_inputs_and_outputs(scratch, tiny)
    check_training(scratch, trace_file)
    check_ends(tiny, prompt_file, trace_file)
    check_refused_before_packing(scratch, tiny)
print("traces are named, nested and whole")
