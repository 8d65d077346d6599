#!/usr/bin/env python3
"""Every example of `fathom COMMAND --help`, and every fathom command in the fenced blocks of README.md and docs/, is run as printed, by bash, in a scratch folder
that holds the files it names (small ones). All of them must end with 0. An example that cannot be run here stands in CANNOT_RUN with its reason, and must exist.

    python3 tests/end_to_end/examples.py build/release/fathom [PATTERN]     # those that match the pattern alone
"""
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FATHOM = os.path.realpath(sys.argv[1])
PATTERN = sys.argv[2] if len(sys.argv) > 2 else ""
REPOSITORY = Path(__file__).resolve().parents[2]

CANNOT_RUN = {
    "--shape v2-lite": "writes 9 GB",
    "--against llama.cpp": "needs node-llama-cpp",
    "--against llama=": "needs another server",
    "bench serve --url": "needs another server",
    "fathom pull": "needs the hub (pull.py has one of its own)",
    "models rm": "needs a pulled model",
    "-m deepseek-ai/": "needs a pulled model",
}

TEXT = "In the beginning was a sentence. And another one followed it, longer than the first. Then the king said to the people what he had seen.\n"
FOLDERS = ["DeepSeek-V2-Lite", "DeepSeek-V2-Lite-Chat", "DeepSeek-V2"]
GGUFS = ["model.gguf", "q4.gguf", "lite-bf16.gguf", "lite.gguf", "large.gguf", "small.gguf", "DeepSeek-V2-Lite.gguf", "DeepSeek-Coder-V2.gguf",
         "DeepSeek-Coder-V2-Lite.gguf", "DeepSeek-V2-Chat.gguf", "DeepSeek-V2-Lite-Chat.gguf"]
LONG_TEXTS = ["wiki.test.raw", "book.txt", "text.txt", "calibration.txt", "held_out.txt", "a.txt", "all.txt", "article.txt"]


def environment(scratch):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FATHOM_")}
    return {**kept, "PATH": f"{scratch}/bin:{os.environ['PATH']}", "FATHOM_CACHE_DIR": f"{scratch}/cache", "HOME": str(scratch)}


def fathom(scratch, *arguments):
    p = subprocess.run([FATHOM, *arguments], cwd=scratch, env=environment(scratch), capture_output=True, text=True)
    assert p.returncode == 0, (arguments, p.stderr)
    return p.stdout


def prepare(scratch):
    """What the examples name. Models are small ones with a context long enough for the longest example."""
    (scratch / "bin").mkdir()
    wrapper = scratch / "bin/fathom"  # bench measures once instead of for seconds
    # serve ends when it has said that it is ready
    wrapper.write_text(f'#!/bin/sh\ncase "$1" in serve) "{FATHOM}" "$@" 2>log & server=$!; for i in $(seq 200); do grep -q "serving\\|fathom:" log && break; sleep 0.05; done; '
                       'sleep 0.2; kill -TERM $server; wait $server; code=$?; cat log >&2; exit $code ;; '
                       f'bench) case "$2" in serve) exec "{FATHOM}" "$@" --requests 2 --warmup 0 ;; esac; exec "{FATHOM}" "$@" --repetitions 1 --no-limits ;; *) exec "{FATHOM}" "$@" ;; esac\n')
    wrapper.chmod(0o755)
    fathom(scratch, "synth", "-q", "--shape", "tiny", "--type", "bf16", "--seed", "1", "first")
    config = json.loads((scratch / "first/config.json").read_text())
    config["max_position_embeddings"] = 16384  # for the depths that examples name
    (scratch / "my").mkdir()
    (scratch / "my/config.json").write_text(json.dumps(config))
    fathom(scratch, "synth", "-q", "--shape", "my/config.json", "--type", "bf16", "--seed", "1", "tiny.gguf")
    fathom(scratch, "convert", "-q", "tiny.gguf", FOLDERS[0])
    for name in FOLDERS[1:]:
        shutil.copytree(scratch / FOLDERS[0], scratch / name, copy_function=os.link)
    config["vocab_size"] = 102400  # for ids of V2
    config["max_position_embeddings"] = 1024  # where answers end, as random weights seldom end one
    (scratch / "first/config.json").write_text(json.dumps(config))
    fathom(scratch, "synth", "-q", "--shape", "first/config.json", "--type", "bf16", "--seed", "1", "MODEL")
    for name in GGUFS:
        os.link(scratch / "tiny.gguf", scratch / name)
    for name in LONG_TEXTS:
        (scratch / name).write_text(TEXT * 30)
    (scratch / "prompt.txt").write_text("Once upon a time\n")
    (scratch / "conversation.json").write_text('{"messages": [{"role": "user", "content": "Once upon a time"}]}\n')
    (scratch / "keys.txt").write_text("laptop: sk-0123456789abcdef0123\n")
    (scratch / "keys.txt").chmod(0o600)
    (scratch / "prompts.jsonl").write_text('{"prompt": "Once"}\n{"prompt": "Twice", "max_tokens": 4}\n')
    (scratch / "books").mkdir()
    for i in range(4):
        (scratch / f"books/{i}.txt").write_text(TEXT * 30 + str(i))
    for name in ("code.jsonl", "b.jsonl"):
        (scratch / name).write_text("".join(json.dumps({"text": TEXT + str(i)}) + "\n" for i in range(40)))
    (scratch / "dump.jsonl.xz").write_bytes(lzma.compress((scratch / "code.jsonl").read_bytes()))
    fathom(scratch, "tokenizer", "train", "-q", "-i", "books", "-n", "300", "-o", "tokenizer")
    fathom(scratch, "data", "build", "-q", "--tokenizer", "tokenizer", "-i", "books", "-i", "code.jsonl", "--held-out", "0.2", "-o", "data")
    fathom(scratch, "quantize", "-q", "-m", FOLDERS[0], "--type", "q4_0", "--calibration", "text.txt", "--save-importance", "importance.safetensors", "-o", "q.gguf")
    fathom(scratch, "quantize", "-q", "-m", FOLDERS[0], "--type", "q4_0", "--calibration", "text.txt", "--save-importance", "imatrix.gguf", "-o", "q2.gguf")
    (scratch / "speed.json").write_text(fathom(scratch, "bench", "-q", "-m", "tiny.gguf", "--work", "decode:2:0:1", "--repetitions", "1", "--no-limits", "--json"))
    (scratch / "docs/images").mkdir(parents=True)
    prepare_training(scratch)


def prepare_training(scratch):
    """configs/ of the repository with the shortest runs that have the steps of the longer ones, and finished runs to draw and to write with."""
    shutil.copytree(REPOSITORY / "configs", scratch / "configs")
    shutil.copytree(REPOSITORY / "data/tiny", scratch / "token_files")
    tiny = scratch / "configs/tiny.toml"
    text = tiny.read_text()
    for key, value in {"path": '"../token_files"', "sequence_length": 16, "sequences": 2, "start_sequences": 2, "ramp_tokens": 0, "micro_batch": 2, "tokens": 9600,
                       "eval_sequences": 2}.items():
        text = re.sub(rf"(?m)^{key} *=.*", f"{key} = {value}", text)
    tiny.write_text(text)
    fathom(scratch, "train", "configs/tiny.toml", "-q")
    (scratch / "train.toml").write_text(text.replace("../token_files", "token_files"))
    for name in ("a", "b", "train"):
        shutil.copytree(scratch / "runs/tiny", scratch / "runs" / name)
    (scratch / "RUN").mkdir()
    (scratch / "RUN/step-00001539").symlink_to("../DeepSeek-V2-Lite")


def help_examples(words=()):
    text = subprocess.run([FATHOM, *words, "--help"], capture_output=True, text=True, check=True).stdout
    if "\nSubcommands:\n" in text:
        for command in re.findall(r"^  (\w+)", text.split("\nSubcommands:\n")[1].split("\nExamples")[0], re.M):
            yield from help_examples((*words, command))
    if "Examples:\n" in text:
        for line in text.split("Examples:\n")[1].split("\n\n")[0].splitlines():
            if line.startswith("  ") and "COMMAND" not in line:
                yield " ".join(["fathom", *words, "--help"]), line.strip()


def fenced_commands(path):
    inside, command = False, ""
    for line in path.read_text().splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif inside and (command or re.match(r"\s*([A-Z_]+=\S+ )*(fathom|\./run) [a-z]", line)):
            command += line.strip()
            if command.endswith("\\"):
                command = command[:-1]
                continue
            yield str(path.relative_to(REPOSITORY)), re.sub(r"^\./run ", "fathom ", command)
            command = ""


def all_examples():
    yield from help_examples()
    for path in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]:
        yield from fenced_commands(path)


def link_or_copy(source, target):
    """fathom replaces files and never changes them, but for those of a training run."""
    (shutil.copy2 if "/runs/" in source else os.link)(source, target)


def run_in_copy(example, scratch, fresh, without=None):
    shutil.copytree(scratch, fresh, symlinks=True, copy_function=link_or_copy)
    for output in [without] if without else re.findall(r"-o (\S+)", example):
        path = fresh / output
        if path.is_dir() or (without and path.exists()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    p = subprocess.run(["bash", "-c", f"set -o pipefail; {example}"], cwd=fresh, env=environment(fresh), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       errors="replace", timeout=200)
    shutil.rmtree(fresh)
    return p


def main():
    failures, n, skipped = [], 0, set()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name) / "prepared"
        scratch.mkdir()
        prepare(scratch)
        for where, example in all_examples():
            reason = next((pattern for pattern in CANNOT_RUN if pattern in example), None)
            if reason:
                skipped.add(reason)
                continue
            if PATTERN not in example:
                continue
            n += 1
            fresh = Path(name) / "fresh"
            p = run_in_copy(example, scratch, fresh)
            if in_the_way := re.search(r"fathom: (\S+?)/?: exists already", p.stderr):  # made by this example, and read by others
                p = run_in_copy(example, scratch, fresh, without=in_the_way[1])
            if p.returncode != 0:
                failures.append(f"{where}: {example}\n    gives {p.returncode}: {p.stderr.strip()[-400:]}")
            if PATTERN:
                print(example, "->", p.returncode)
    if not PATTERN and n < 40:
        failures.append(f"only {n} examples were found")
    if not PATTERN and skipped != set(CANNOT_RUN):
        failures.append(f"no example holds {set(CANNOT_RUN) - skipped}")
    for failure in failures:
        print("examples.py:", failure)
    return bool(failures)


sys.exit(main())
