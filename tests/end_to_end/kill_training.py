#!/usr/bin/env python3
"""A training that is killed again and again is the training that never stopped.

    python3 tests/end_to_end/kill_training.py build/release/fathom [--seed N] [--kills N]

A run that saves at every step is killed with SIGKILL --kills times: every other time while a checkpoint is being written
(its temporary folder is watched for), else at a random moment of a step of eight micro-batches. After each kill the newest
checkpoint must be whole, and the same command, with another number of threads, must go on from it. At the end weights,
optimizer, state and metrics equal those of an uninterrupted run, byte for byte; what a clock measured is left out.
"""
import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from training_runs import checkpoints, contents, is_whole, metrics, write_config

STEPS = 300
TOKENS = 64 * 8 * STEPS


def start(fathom: str, config: pathlib.Path, run: pathlib.Path, threads: int) -> subprocess.Popen:
    return subprocess.Popen([fathom, "train", config, "-o", run, "-t", str(threads)], stderr=subprocess.PIPE, text=True)


def wait_for(condition, process: subprocess.Popen, what: str, pause: float) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        time.sleep(pause)
        if process.poll() is not None:
            sys.exit(f"kill_training: the program ended by itself while waiting for {what}: {process.stderr.read()}")
        if time.monotonic() > deadline:
            sys.exit(f"kill_training: no {what} in 60 s")


def newest(run: pathlib.Path) -> str:
    return max((p.name for p in checkpoints(run)), default="")


def saves_under_way(run: pathlib.Path) -> set[tuple[str, int]]:
    """Temporary folders of later steps than the newest checkpoint's (those of earlier ones are being removed)."""
    found = set()
    for p in run.glob("*.partial"):
        try:
            found.add((p.name, p.stat().st_ino))
        except FileNotFoundError:
            pass  # renamed meanwhile
    return {(name, inode) for name, inode in found if name > newest(run) + ".partial"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("fathom")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=50)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        config, whole, killed = write_config(root / "run.toml", TOKENS), root / "whole", root / "killed"
        subprocess.run([options.fathom, "train", config, "-o", whole, "-q"], check=True)

        in_save = 0
        for kill in range(options.kills):
            before, left_before = newest(killed), saves_under_way(killed)
            process = start(options.fathom, config, killed, 1 + kill % 2)
            # Every fifth kill comes without a new checkpoint, perhaps before training began; else one step is certain.
            if kill % 5 == 4:
                time.sleep(rng.uniform(0, 0.4))
            else:
                wait_for(lambda: newest(killed) > before, process, "new checkpoint", 0.002)
                if kill % 2 == 0:
                    wait_for(lambda: saves_under_way(killed) - left_before, process, "save under way", 0.0002)
                    time.sleep(rng.choice([0, 0, 0.001, 0.002]))
                else:
                    time.sleep(rng.uniform(0, 0.02))
            process.kill()
            said = process.communicate()[1]
            if process.returncode != -9:
                sys.exit(f"kill_training: kill {kill}: exit code {process.returncode}: {said}")
            if before and said and f"resuming from {killed / before}" not in said:
                sys.exit(f"kill_training: kill {kill}: it did not resume from {before}: {said}")
            in_save += bool(saves_under_way(killed) - left_before)
            if newest(killed) and not is_whole(killed / newest(killed)):
                sys.exit(f"kill_training: kill {kill}: {newest(killed)} is not whole")
        subprocess.run([options.fathom, "train", config, "-o", killed, "-q"], check=True)

        last, want = checkpoints(killed)[-1], checkpoints(whole)[-1]
        assert last.name == want.name, (last, want)
        assert contents(last) == contents(want), "the last checkpoints differ"
        assert metrics(killed) == metrics(whole), "the metrics differ"
        assert len(metrics(whole)) > STEPS
        assert not list(killed.glob("*.partial")), "something half-written stayed"
        assert in_save >= options.kills // 5, f"only {in_save} kills hit a save"
        print(f"{options.kills} kills, {in_save} of them during a save; {last.name} and {len(metrics(whole))} records are the same")


if __name__ == "__main__":
    main()
