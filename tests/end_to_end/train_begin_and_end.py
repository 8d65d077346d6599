#!/usr/bin/env python3
"""How runs of `fathom train` begin, are changed, and end: from a newcomer's text to a model, other configs on resume, signals, stderr.

    python3 tests/end_to_end/train_begin_and_end.py build/release/fathom
"""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from training_runs import checkpoints, contents, is_whole, metrics, write_config

FATHOM = sys.argv[1]
TOKENS = 64 * 8 * 12

# The two runs of a user's report, without anything that evaluates or balances.
SMALL = """
[model]
model_type = "deepseek_v2"
architectures = ["DeepseekV2ForCausalLM"]
vocab_size = 300
hidden_size = 32
num_hidden_layers = 2
intermediate_size = 64
max_position_embeddings = 256
num_attention_heads = 2
num_key_value_heads = 2
kv_lora_rank = 16
qk_nope_head_dim = 16
qk_rope_head_dim = 8
v_head_dim = 16
rope_theta = 10000.0
rms_norm_eps = 1e-6
n_routed_experts = 4
num_experts_per_tok = 2
n_shared_experts = 1
moe_intermediate_size = 16
first_k_dense_replace = 1
topk_method = "greedy"
tie_word_embeddings = false
bos_token_id = 298
eos_token_id = 299
[data]
path = "DATA"
sequence_length = 32
[batch]
sequences = 8
micro_batch = 4
[optimizer]
max_learning_rate = 3e-3
[schedule]
tokens = 5120
warmup_steps = 2
decay_at = []
[run]
seed = 1
init_std = 0.02
products = "f32"
log_interval = 5
eval_interval = 10
save_interval = 10
"""


def fathom(*arguments, **how) -> subprocess.CompletedProcess:
    return subprocess.run([FATHOM, *map(str, arguments)], capture_output=True, text=True, **how)


def works(*arguments, **how) -> subprocess.CompletedProcess:
    done = fathom(*arguments, **how)
    assert done.returncode == 0, done
    return done


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    assert done.returncode == 2 and done.stderr.startswith("fathom"), done
    for word in words:
        assert word in done.stderr, f"{word!r} is not in: {done.stderr}"


def small_config(path: pathlib.Path, data: pathlib.Path, *changes: tuple[str, str]) -> pathlib.Path:
    text = SMALL.replace("DATA", str(data))
    for find, put in changes:
        assert find in text, find
        text = text.replace(find, put)
    path.write_text(text)
    return path


def make_text(path: pathlib.Path, seed: int, syllables: str) -> None:
    """Words of two syllables, in documents of 120."""
    rng = random.Random(seed)
    words = [rng.choice(syllables.split()) + rng.choice(syllables.split()) for _ in range(80)]
    path.write_text("\n\n".join(" ".join(rng.choices(words, k=120)) + "." for _ in range(60)))


def make_data(root: pathlib.Path) -> None:
    """Two texts, two tokenizers of 300 tokens; `one` is a single document of which nothing is held out."""
    for name, seed, syllables in (("first", 1, "the ron mil ler riv er fox es gre en hil ls"), ("other", 2, "zeal vex qui jum wiz pack box fiv doz liq jug arp")):
        make_text(root / f"{name}.txt", seed, syllables)
        works("tokenizer", "train", "-i", root / f"{name}.txt", "--vocab-size", 300, "-o", root / f"{name}-tokenizer", "-q")
        works("data", "build", "--tokenizer", root / f"{name}-tokenizer", "-i", root / f"{name}.txt", "--document-separator", r"\n\n",
              "--held-out", 0.1, "-o", root / f"{name}-data", "-q")
    works("data", "build", "--tokenizer", root / "first-tokenizer", "-i", root / "first.txt", "--held-out", 0, "-o", root / "one-data", "-q")


def check_nothing_held_out(root: pathlib.Path) -> None:
    """train-without-held-out: refused before the first step where evaluation is asked for, else trained without."""
    config = small_config(root / "one.toml", root / "one-data")
    for flags in ((), ("--dry-run",)):
        refused(fathom("train", config, "-o", root / "one", *flags), "no text was held out", "eval_interval = 10", "--held-out")
    assert not checkpoints(root / "one") and not (root / "one/metrics.jsonl").exists()
    config = small_config(root / "one.toml", root / "one-data", ("eval_interval = 10", "eval_interval = 0"),
                          ("save_interval = 10", "save_interval = 0"))
    assert "no text was held out" in works("train", config, "--dry-run").stderr
    works("train", config, "-o", root / "one")
    assert [p.name for p in checkpoints(root / "one")] == ["step-00000020"]


def check_other_tokenizer(root: pathlib.Path) -> None:
    """continue-from-other-tokenizer."""
    first = small_config(root / "first.toml", root / "first-data")
    works("train", first, "-o", root / "first-run", "-q")
    change = ("seed = 1", f'seed = 2\ncontinue_from = "{root}/first-run"')
    second = small_config(root / "second.toml", root / "other-data", change)
    for flags in ((), ("--dry-run",)):
        refused(fathom("train", second, "-o", root / "second-run", *flags), "was trained with another tokenizer", "allow_other_tokenizer")
    assert not checkpoints(root / "second-run")
    same = small_config(root / "same.toml", root / "first-data", change)
    works("train", same, "-o", root / "same-run", "-q", "--steps", 1)
    allowed = small_config(root / "allowed.toml", root / "other-data", (change[0], change[1] + "\nallow_other_tokenizer = true"))
    works("train", allowed, "-o", root / "second-run", "-q", "--steps", 1)


def check_changed_configs(root: pathlib.Path) -> None:
    """resume-config-message: the keys and both values; more tokens go on as the long run that never stopped."""
    run = root / "changed-run"
    works("train", small_config(root / "c.toml", root / "first-data"), "-o", run, "-q")
    batch = small_config(root / "c.toml", root / "first-data", ("sequences = 8", "sequences = 16"), ("seed = 1", "seed = 3"))
    for flags in ((), ("--dry-run",)):
        refused(fathom("train", batch, "-o", run, *flags), "[batch] sequences: 8 -> 16", "[run] seed: 1 -> 3")
    longer = small_config(root / "c.toml", root / "first-data", ("tokens = 5120", "tokens = 7680"), ("micro_batch = 4", "micro_batch = 2"))
    said = works("train", longer, "-o", run).stderr
    assert "[schedule] tokens: 5120 -> 7680" in said and "[batch] micro_batch: 4 -> 2" in said, said
    assert "this run is finished" in works("train", longer, "-o", run).stderr
    whole = root / "whole-run"
    works("train", longer, "-o", whole, "-q")
    end = "step-00000030"
    assert contents(run / end) == contents(whole / end)


def check_missing_state(root: pathlib.Path) -> None:
    run = root / "stateless-run"
    config = small_config(root / "c.toml", root / "first-data")
    works("train", config, "-o", run, "-q", "--steps", 10)
    before = metrics(run)
    shutil.rmtree(run / "step-00000010/training")
    refused(fathom("train", config, "-o", run), "step-00000010/training/state.json: is missing")
    assert metrics(run) == before, "a refused run changed metrics.jsonl"


def check_half_lines(root: pathlib.Path) -> None:
    run = root / "half-run"
    config = small_config(root / "c.toml", root / "first-data", ("log_interval = 5", "log_interval = 1"))
    works("train", config, "-o", run, "-q", "--steps", 6)
    with (run / "metrics.jsonl").open("a") as f:
        f.write('{"step":7,"tok')
    works("train", config, "-o", run, "-q", "--steps", 2)
    steps = [json.loads(line)["step"] for line in metrics(run)]
    assert sorted(set(steps)) == list(range(1, 9)), steps


def started(config: pathlib.Path, run: pathlib.Path, **how) -> subprocess.Popen:
    """A run that is in the middle of its steps."""
    process = subprocess.Popen([FATHOM, "train", config, "-o", run, "-t", "1"], **how)
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_text().count("\n") < 5:
        assert process.poll() is None and time.monotonic() < deadline, process.poll()
        time.sleep(0.01)
    return process


def check_signals(root: pathlib.Path) -> None:
    """Each finishes the step, saves, and ends as the signal does; the run goes on from where it was."""
    config = write_config(root / "long.toml", 1e9, eval_interval="0", save_interval="0")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        run = root / f"run-{number}"
        process = started(config, run, stderr=subprocess.PIPE, text=True)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == -number and "stopped at step" in said, (process.returncode, said)
        (saved,) = checkpoints(run)
        assert is_whole(saved) and int(saved.name[5:]) >= 5
        resumed = fathom("train", config, "-o", run, "-t", 1, "--steps", 1)
        assert resumed.returncode == 0 and f"resuming from {saved}" in resumed.stderr, resumed
        records = [json.loads(line)["step"] for line in metrics(run)]
        assert records == sorted(records), records
    run = root / "run-nohup"
    process = started(config, run, stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)  # as nohup has it: ignored
    time.sleep(0.2)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=60) == -signal.SIGTERM


def check_first_step(root: pathlib.Path) -> None:
    """Ended before or in the first step: what is said of the weights is what there is."""
    config, run = write_config(root / "long.toml", 1e9, eval_interval="0", save_interval="0"), root / "run-first"
    process = subprocess.Popen([FATHOM, "train", config, "-o", run, "-t", "1"], stderr=subprocess.PIPE, text=True)
    while "of memory" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == -signal.SIGINT, said
    assert ("nothing was saved" in said) == (not checkpoints(run)), said


def check_config_from_pipe(root: pathlib.Path) -> None:
    config, run = write_config(root / "piped.toml", TOKENS), root / "run-piped"
    piped = fathom("train", "-", "-o", run, "-q", "--steps", 2, stdin=config.open())
    assert piped.returncode == 0, piped
    works("train", config, "-o", run, "-q", "--steps", 1)
    assert checkpoints(run)[-1].name == "step-00000003"
    refused(fathom("train", "-", stdin=config.open()), "give -o DIR")


def check_reader_gone(root: pathlib.Path) -> None:
    """`fathom train 2>&1 | tee log` and Ctrl-C: tee dies first, and the steps must be saved all the same."""
    config = write_config(root / "long.toml", 1e9, eval_interval="0", save_interval="0")
    run = root / "run-pipe"
    process = started(config, run, stderr=subprocess.PIPE)
    process.stderr.close()
    lines = len(metrics(run))
    deadline = time.monotonic() + 60
    while len(metrics(run)) < lines + 3:
        assert process.poll() is None and time.monotonic() < deadline, "a reader that went away ended the run"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
    assert is_whole(checkpoints(run)[-1])


def check_stderr(root: pathlib.Path) -> None:
    """Where stderr cannot be written, the weights and the exit code are those of a run where it can."""
    config = write_config(root / "stderr.toml", TOKENS)
    works("train", config, "-o", root / "stderr-want", "-t", 1)
    want = contents(checkpoints(root / "stderr-want")[-1])
    run = root / "stderr-full"
    with open("/dev/full", "w") as full:
        done = subprocess.run([FATHOM, "train", config, "-o", run, "-t", "1"], stderr=full)
    assert done.returncode == 0 and contents(checkpoints(run)[-1]) == want
    run = root / "stderr-closed"
    done = subprocess.run(["sh", "-c", f'"{FATHOM}" train "{config}" -o "{run}" -t 1 2>&- </dev/null'], stdout=subprocess.DEVNULL)
    assert done.returncode == 0 and contents(checkpoints(run)[-1]) == want


def check_init(root: pathlib.Path) -> None:
    """A newcomer's road: text, data, a config, a model that writes."""
    home = root / "new comer"
    home.mkdir()
    shutil.copytree(root / "first-data", home / "my data")
    said = works("init", "my data", cwd=home).stdout
    assert "train.toml" in said, said
    refused(fathom("init", "my data", cwd=home), "train.toml: exists already")
    works("init", "my data", "--force", "--dense", "--tokens", "20K", cwd=home)
    assert "hidden_size = 768" in works("init", "my data", "-o", "-", "--size", "large", cwd=home).stdout
    for flags in (("--size", "small"), ("--parameters", "20M"), ("--size", "medium", "--dense")):
        (home / "sized.toml").write_text(works("init", "my data", "-o", "-", *flags, cwd=home).stdout)
        works("train", "sized.toml", "--dry-run", cwd=home)
    works("init", "my data", "--force", cwd=home)
    assert "\n4 sequences of 256 tokens a step" in works("train", "train.toml", "--dry-run", cwd=home).stdout
    said = works("train", "train.toml", "--steps", 3, cwd=home).stderr
    minutes, seconds, rate, kilo = re.search(r"^step +1 .* (\d+):(\d\d) left\n +(\S+?)(k?) tokens/s", said, re.M).groups()
    left, two_steps = 60 * int(minutes) + int(seconds), 2 * 1024 / (float(rate) * (1000 if kilo else 1))
    assert abs(left - two_steps) < 1.1 + 0.1 * two_steps, f"the time left is not that of --steps: {said}"
    (saved,) = checkpoints(home / "runs/train")
    score = json.loads(works("perplexity", "-m", "runs/train", "-f", root / "first.txt", "--windows", 1, "--json", "-q", cwd=home).stdout)
    assert score["ctx"] == 256, "the window is not what the model allows"
    refused(fathom("perplexity", "-m", "runs/train", "-f", root / "first.txt", "-c", "512", cwd=home), "--ctx is 512", "256")
    said = works("quantize", "runs/train", "q.gguf", "q4_0", "-q", cwd=home).stderr
    assert "using its newest checkpoint" in said, said
    works("generate", "-m", saved, "-p", "theron", "-n", 4, "-q")
    refused(fathom("init", root / "first.txt", cwd=home), "is no folder of token data")
    refused(fathom("init", "nowhere", cwd=home), "nowhere: there is no such folder", "fathom data build -o nowhere")
    refused(fathom("generate", "-m", "runs", "Once", cwd=home), "runs: is no model, but holds train")
    refused(fathom("train", "my data", cwd=home), "is a folder", "fathom init")
    assert fathom("init", "my data", "-o", "x", "--size", "huge", cwd=home).returncode == 2
    table = works("train", "--keys").stdout
    assert "| `max_learning_rate` |" in table and fathom("train").returncode == 2


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        make_data(root)
        check_nothing_held_out(root)
        check_other_tokenizer(root)
        check_changed_configs(root)
        check_missing_state(root)
        check_half_lines(root)
        check_signals(root)
        check_first_step(root)
        check_config_from_pipe(root)
        check_reader_gone(root)
        check_stderr(root)
        check_init(root)


if __name__ == "__main__":
    main()
