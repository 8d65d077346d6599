#!/usr/bin/env python3
"""What can go wrong with `fathom train` that its user can mend: one sentence, exit code 2, and nothing lost.

    python3 tests/end_to_end/train_errors.py build/release/fathom
"""
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from training_runs import REPOSITORY, checkpoints, contents, is_whole, metrics, write_config

FATHOM = sys.argv[1]
TOKENS = 64 * 8 * 12


def train(config: pathlib.Path, run: pathlib.Path, *flags: str, **how) -> subprocess.CompletedProcess:
    return subprocess.run([FATHOM, "train", config, "-o", run, "-t", "1", *flags], capture_output=True, text=True, **how)


def trains(config: pathlib.Path, run: pathlib.Path, *flags: str) -> None:
    done = train(config, run, "-q", *flags)
    assert done.returncode == 0, done.stderr


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    """One sentence, or a line for each of several faults."""
    first, *others = done.stderr.splitlines()
    assert done.returncode == 2 and first.startswith("fathom: ") and all(line.startswith("  ") for line in others), done
    for word in words:
        assert word in done.stderr, f"{word!r} is not in: {done.stderr}"


def check_config(root: pathlib.Path) -> None:
    config = write_config(root / "c.toml", TOKENS)
    text = config.read_text()
    for find, put, word in (
        ("warmup_steps = 5", "warm_up_steps = 5", "Did you mean warmup_steps?"),
        ("[schedule]", "[shedule]", "Did you mean schedule?"),
        ("n_shared_experts", "n_shared_expert", "Did you mean n_shared_experts?"),
        ("micro_batch = 1", "micro_batch = 3", "multiple of micro_batch, 3"),
        ("n_devices = 4", "n_devices = 3", "divisor of n_routed_experts, 8"),
        ("n_group = 4", "n_group = 3", "n_routed_experts (8) is not a multiple of n_group (3)"),
        ('"noaux_tc"', '"group_limited_greedy"', "bias_update_speed is 0.001; it must be 0 for a model without score bias"),
        ('"noaux_tc"', '"aux"', "topk_method 'aux' is not supported"),
        ("[optimizer]", "[optimizer]\nepsilon = 1e-300", "epsilon is 1e-300; it must be between 1e-30 and 1"),
        ("init_std = 0.02", "init_std = 1e308", "init_std is 1e+308; it must be between 1e-06 and 10"),
        ("rope_theta = 10000.0", "rope_theta = inf", "rope_theta is inf; a finite number is needed"),
    ):
        assert find in text
        config.write_text(text.replace(find, put))
        refused(train(config, root / "never"), word)
    refused(train(root / "no.toml", root / "never"), "no.toml")
    assert not (root / "never").exists(), "a refused config left a folder"


def check_data(root: pathlib.Path) -> None:
    refused(train(write_config(root / "d.toml", TOKENS, root / "no-data"), root / "d"), "no-data: there is no such folder")
    data = root / "data"
    shutil.copytree(REPOSITORY / "data/tiny", data)
    config, run = write_config(root / "d.toml", TOKENS, data), root / "run-data"
    trains(config, run, "--steps", "2")
    shard = data / "000-train-00000.tokens"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    refused(train(config, run), "000-train-00000.tokens: the content is damaged or was changed")
    shard.write_bytes(whole[:-8])
    refused(train(config, run), "000-train-00000.tokens")
    shard.unlink()
    refused(train(config, run), "000-train-00000.tokens")
    shard.write_bytes(whole)
    manifest = data / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"weight": 1.0', '"weight": 2.0'))
    assert manifest.read_text() != text
    refused(train(config, run), "was made with other data")
    manifest.write_text(text)
    trains(config, run, "--steps", "1")
    assert [p.name for p in checkpoints(run)] == ["step-00000002", "step-00000003"]


def check_disk(root: pathlib.Path, config: pathlib.Path, want: pathlib.Path) -> None:
    """A limit on the size of a file stands in for the full disk."""
    run = root / "run-disk"
    trains(config, run, "--steps", "2")
    kept = contents(run / "step-00000002")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    refused(train(config, run, "-q", preexec_fn=limit, restore_signals=False),  # Python ignores SIGXFSZ, and so must fathom
            "writing stopped after 100000 bytes: File too large", "step 3 could not be saved", "step-00000002 is whole")
    assert [p.name for p in checkpoints(run)] == ["step-00000001", "step-00000002"] and not list(run.glob("*.partial"))
    assert contents(run / "step-00000002") == kept
    trains(config, run)
    assert contents(checkpoints(run)[-1]) == contents(checkpoints(want)[-1]) and metrics(run)[-1] == metrics(want)[-1]


def check_folder(root: pathlib.Path, config: pathlib.Path) -> None:
    (root / "file").write_text("")
    refused(train(config, root / "file/run"), "file/run: cannot be made: Not a directory")
    if os.geteuid() != 0:
        (root / "read-only").mkdir(mode=0o555)
        refused(train(config, root / "read-only"), "lock: cannot be written: Permission denied")


def check_other_config(root: pathlib.Path, config: pathlib.Path, finished: pathlib.Path) -> None:
    for change in ({"max_learning_rate": "4e-3"}, {"hidden_size": "64"}, {"seed": "2"}):
        other = write_config(root / "other.toml", TOKENS, **change)
        refused(train(other, finished), "was made with another config")
    trains(write_config(root / "other.toml", TOKENS, log_interval="5"), finished)  # decides no bit of the weights


def check_lock(root: pathlib.Path, config: pathlib.Path) -> None:
    run = root / "run-lock"
    long = write_config(root / "long.toml", 1e9)
    first = subprocess.Popen([FATHOM, "train", long, "-o", run, "-t", "1", "-q"])
    deadline = time.monotonic() + 30
    while not checkpoints(run) and time.monotonic() < deadline:
        time.sleep(0.01)
    refused(train(long, run), f"another `fathom train` (process {first.pid}) is writing this run")
    assert first.poll() is None, "the first run ended"
    first.kill()
    first.wait()
    trains(long, run, "--steps", "1")


def check_finished(config: pathlib.Path, run: pathlib.Path) -> None:
    before, lines = contents(run), metrics(run)
    again = train(config, run)
    assert again.returncode == 0 and "this run is finished: " in again.stderr and len(again.stderr.splitlines()) == 1, again
    after = contents(run)
    assert metrics(run) == lines and set(after) == set(before)
    assert all(after[f] == before[f] for f in before if f != "lock")


def check_not_finite(root: pathlib.Path) -> None:
    run = root / "run-nan"
    config = write_config(root / "nan.toml", TOKENS, max_learning_rate="1e3", init_std="10")
    done = train(config, run)
    assert done.returncode == 2 and "are not finite" in done.stderr.splitlines()[-1], done.stderr
    assert all(is_whole(p) for p in checkpoints(run))


def check_dry_run(root: pathlib.Path, config: pathlib.Path, finished: pathlib.Path) -> None:
    plan = json.loads(subprocess.run([FATHOM, "train", config, "--dry-run", "--json"], capture_output=True, check=True).stdout)
    flops = plan["flops_per_token"]
    assert flops["total"] == flops["forward"] + flops["backward"] and flops["backward"] == 2 * flops["forward"]
    assert plan["memory_bytes"] == sum(c["bytes"] for c in plan["memory"])
    steps = json.loads(metrics(finished)[-1])["step"]
    assert abs(plan["steps"] - steps) <= 1, (plan["steps"], steps)
    text = subprocess.run([FATHOM, "train", config, "--dry-run"], capture_output=True, text=True, check=True).stdout
    for word in ("FLOP a token", "forward", "backward", f"{TOKENS} tokens in about {plan['steps']} steps"):
        assert word in text, text
    assert train(config, root / "never", "--json").returncode == 2


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        config, finished = write_config(root / "run.toml", TOKENS), root / "finished"
        trains(config, finished)
        check_config(root)
        check_data(root)
        check_disk(root, config, finished)
        check_folder(root, config)
        check_lock(root, config)
        check_not_finite(root)
        check_dry_run(root, config, finished)
        check_finished(config, finished)
        check_other_config(root, config, finished)


if __name__ == "__main__":
    main()
