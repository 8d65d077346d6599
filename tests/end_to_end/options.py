#!/usr/bin/env python3
"""Every option of every command, taken from --help: what is no number, wraps, is out of range or empty is refused before any work, in one sentence a person can
read, with exit code 2. And what users of llama.cpp and Ollama type works, or is told in fathom's spelling.

    python3 tests/end_to_end/options.py build/release/fathom
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FATHOM = os.path.realpath(sys.argv[1])
ENVIRONMENT = {**{k: v for k, v in os.environ.items() if not k.startswith("FATHOM_")}, "FATHOM_TUNE": "off"}
NOT_NUMBERS = ["1e30", "99999999999999999999", "-99999999999999999999", " 5", "5 ", "5x", "0x10", "nan", "inf", "-inf", "--5", "1,5", "", "٣"]
BUNDLED = str(Path(__file__).resolve().parents[2] / "models/bundled.gguf")
MAY_BE_EMPTY = {"--system", "--document-separator"}
failures = []


def run(*arguments, stdin="", **options):
    return subprocess.run([FATHOM, *arguments], input=stdin, capture_output=True, text=True, errors="replace", timeout=120, env=ENVIRONMENT, **options)


def claim(holds, what):
    if not holds:
        failures.append(what)


def refused(arguments, *wanted, stdin=""):
    p = run(*arguments, stdin=stdin)
    one_sentence = p.stderr.count("\n") == 1 and len(p.stderr) < 400 and not re.search(r"\d{25}", p.stderr.replace(str(10**20 - 1), ""))
    named = all(re.search(w, p.stderr) for w in wanted)
    claim(p.returncode == 2 and one_sentence and named and p.stdout == "", f"{arguments} gives {p.returncode}: {p.stderr!r} {p.stdout[:80]!r}")


def parsed(arguments):
    """The values are accepted; --help then ends the program before any work."""
    p = run(*arguments, "--help")
    claim(p.returncode == 0 and p.stdout, f"{arguments} gives {p.returncode}: {p.stderr!r}")


def commands(words=()):
    text = run(*words, "--help").stdout
    if "\nSubcommands:\n" not in text:
        return [(words, text)]
    below = re.findall(r"^  (\w+)", text.split("\nSubcommands:\n")[1].split("\nExamples")[0], re.M)
    return [leaf for c in below for leaf in commands((*words, c))]


def check_values():
    n_numbers = n_choices = 0
    seen = set()
    for words, text in commands():
        for names, value in re.findall(r"^  (-\S+)(?: ([^\s=]+))?", text, re.M):
            name = names.split(",")[-1] if "--" in names else names
            if not value or value in ("Excludes:", "Needs:", "REQUIRED") or name == "--help":
                continue
            name = next(n for n in names.split(",") if n.startswith("--"))
            if re.fullmatch("[A-Z]|PIXELS", value):
                n_numbers += 1
                for bad in NOT_NUMBERS if name not in seen else NOT_NUMBERS[:2]:
                    refused((*words, name, bad), name)
                refused((*words, f"{name}="), name, "empty")
                seen.add(name)
            elif "{" in value:
                n_choices += 1
                choices = re.search(r"{(.*)}", value)[1].split(",")
                refused((*words, name, "nonsense"), name, *choices)
                parsed((*words, name, choices[-1].upper()))
            if name not in MAY_BE_EMPTY:
                refused((*words, name, ""), name, "empty")
    claim(n_numbers > 40 and n_choices > 10, f"only {n_numbers} numbers and {n_choices} choices were found in --help")


def check_environment(model):
    for name, value in (("FATHOM_ISA", "REF"), ("FATHOM_TUNE", "OFF"), ("FATHOM_NUMA", "Auto")):
        p = subprocess.run([FATHOM, "generate", "-q", "-m", model, "-p", "x", "-n", "1"], capture_output=True, text=True, env={**ENVIRONMENT, name: value})
        claim(p.returncode == 0, f"{name}={value} gives {p.returncode}: {p.stderr}")


def check_numbers_people_write():
    for arguments in (["--threads", "010"], ["--threads", "+2"], ["--max-tokens", "-1"], ["--ctx", "0"], ["--seed", "-1"], ["--seed", str(2**64 - 1)],
                      ["--temperature", ".5"], ["--temperature", "1e-2"]):
        parsed(["generate", *arguments])
    refused(["generate", "--threads", "0"], "--threads is '0'", "from 1 to 1024")
    refused(["generate", "-n", "-2"], "--max-tokens is '-2'", "-1 or more")
    refused(["generate", "--seed", str(2**64)], "--seed", "2\\^64 - 1")
    refused(["generate", "--temperature", "-0.1"], "--temperature is '-0.1'", "from 0 to 100")
    refused(["convert", "a", "b.gguf", "--max-shard-size", "5 parsecs"], "--max-shard-size", "for example 2GB")
    for size in ("2GB", "500 mb", "1.5GiB", "4096", "0"):
        parsed(["convert", "a", "b.gguf", "--max-shard-size", size])


def check_other_programs_spellings(model, folder):
    def text(*arguments, stdin=""):
        length = [] if any("predict" in a for a in arguments) else ["-n", "6"]
        p = run("generate", "-q", "-m", model, *([] if "--temperature" in arguments else ["--temp", "0"]), *length, *arguments, stdin=stdin)
        claim(p.returncode == 0, f"{arguments} gives {p.returncode}: {p.stderr}")
        return p.stdout

    prompt = folder / "prompt.txt"
    wanted = text("-p", "Hello there")
    claim(text("Hello there") == wanted, "a prompt without -p")
    for content in ("Hello there", "Hello there\n", "Hello there\r\n", "\ufeffHello there\n"):
        prompt.write_text(content, newline="")
        claim(text("-f", str(prompt)) == text("--file", str(prompt)) == wanted, f"-f, {content!r}")
        claim(text("-p", "-", stdin=content) == text("-f", "-", stdin=content) == wanted, f"stdin, {content!r}")
    claim(text("-p", "Hello there\n") != wanted, "the text of -p itself is untouched")
    claim(text("-p", "Hello there", "--ctx-size", "0", "--n-predict", "6", "--repeat-penalty", "1", "--top-k", "40", "-t", "1") == wanted, "llama.cpp's names")
    claim(text("-p", "Hello there", "--temperature", "0", "-c", "0", "--predict", "6") == wanted, "-c 0")
    claim(run("show", model).stdout == run("inspect", model).stdout != "", "show")
    claim(run("help", "data", "build").stdout == run("data", "build", "--help").stdout != "", "help")
    claim(run("version").stdout == run("--version").stdout != "", "version")
    claim(run("run", model, "-q", "--temp", "0", "-n", "4", stdin="hi\n").stdout == run("chat", "-m", model, "-q", "--temp", "0", "-n", "4", stdin="hi\n").stdout != "", "run")

    refused(["ls"], "fathom models")
    refused(["download", "deepseek-v2"], "fathom pull OWNER/NAME")
    refused(["pull", "deepseek-v2"], "OWNER/NAME, for example")
    refused(["models", "list"], "'list' was not expected")
    refused(["server"], "fathom serve")
    refused(["generat", "-p", "run"], "Did you mean generate")
    refused(["run"], "fathom chat -m MODEL")
    # A command that there is not, and none at all, is named as such.
    refused(["frobnicate"], "there is no command 'frobnicate'")
    refused(["data", "list"], "fathom data: there is no command 'list'")
    refused(["tokenizer"], "a command is needed: train")
    refused(["data", "show", "data", "--source", "books"], "--source requires --document")
    refused(["data", "--force"], "a command is needed: build or show")
    refused([], "a command is needed", "fathom --help")
    refused(["-m", model, "hello"], "a command is needed in front of -m")
    refused(["--versoin"], "Did you mean --version")
    refused(["info", model], "fathom inspect MODEL")
    refused(["ppl"], "fathom perplexity")
    refused(["imatrix"], "--save-importance")
    claim(run("-V").stdout == run("-v").stdout == run("--version").stdout != "", "-V, -v")
    # Of what is not understood, the options are named and not what follows from them, in the order of the command line.
    for arguments in (["--tmp", "3", "hi"], ["--tmp=3", "hi"]):
        refused(["generate", "-m", model, *arguments], r"there is no option --tmp\S*\. Did you mean --temp")
        claim("quotes" not in run("generate", "-m", model, *arguments).stderr, "advice on quotes for an option")
    refused(["generate", "-m", model, "a", "b", "c"], "'b', 'c' were not expected")
    refused(["generate", "-hf", "deepseek-ai/DeepSeek-V2-Lite", "hi"], "no option -hf: `fathom pull deepseek-ai/DeepSeek-V2-Lite` downloads it, and -m deepseek-ai/DeepSeek-V2-Lite")
    refused(["generate", "--model-url", "https://example.org/x.gguf", "hi"], "fathom pull OWNER/NAME")
    refused(["generate", "-m", model, "--color", "hi"], "leave it out")
    refused(["chat", "-m", model, "-p", "hi"], "fathom generate", "--messages")
    refused(["completion", "zhs"], "bash, zsh or fish\. Did you mean zsh")
    for bad in ("1X", "5x", "0x5", "1MM"):
        refused(["init", "data", "--tokens", bad], "--tokens is", "30M")
    for good in ("1M", "1.5g", "2B", "1T", "100000"):
        parsed(["init", "data", "--tokens", good])

    # The model, and what is made of it, in the order of llama.cpp's tools and under their names.
    claim(run("inspect", "-m", model).stdout == run("inspect", model).stdout != "", "inspect -m")
    claim(run("logits", model, "--ids", "1").stdout == run("logits", "-m", model, "--ids", "1").stdout != "", "logits MODEL")
    text_file = folder / "text.txt"
    text_file.write_text("a text of some length " * 40)
    by_name, by_place = (run("perplexity", *a, "-f", str(text_file), "-q", "-c", "64") for a in (["-m", model], [model]))
    claim(by_name.stdout == by_place.stdout != "", f"perplexity MODEL: {by_place.stderr}")
    score = ["perplexity", model, "-f", str(text_file), "-q", "-c", "64", "--windows", "2", "--json"]
    for cache, same in (("f32", True), ("q16", False)):
        report = json.loads(run(*score, "--cache-type", cache, "--against", model, "--against-cache-type", "f32").stdout)
        claim((report["against"]["kl_mean"] == 0) == same and report["against"]["kl_mean"] < 1, f"KL of a {cache} cache: {report}")
        claim((report["cache_type"], report["against"]["cache_type"]) == (cache, "f32"), f"the caches of {report}")
    refused([*score, "--against-arithmetic", "exact"], "give --against MODEL with it")
    claim(run("chat", model, "-n", "4", "-q", "--temp", "0", stdin="hi\n").stdout == run("chat", "-m", model, "-n", "4", "-q", "--temp", "0", stdin="hi\n").stdout != "", "chat MODEL")
    out = [str(folder / f"out{i}.gguf") for i in range(4)]
    for arguments in (["quantize", "--requantize", model, out[0], "Q4_0"], ["quantize", "--requantize", "-m", model, "--type", "q4_0", "-o", out[1]],
                      ["convert", model, "--outfile", out[2], "--outtype", "f32"], ["convert", model, out[3], "--type", "f32"]):
        p = run(*arguments, "-q")
        claim(p.returncode == 0, f"{arguments} gives {p.returncode}: {p.stderr}")
    same = [Path(o).read_bytes() if Path(o).exists() else None for o in out]
    claim(None not in same and same[0] == same[1] and same[2] == same[3] != same[0], "the orders and names of llama.cpp's tools")
    claim(run("tokenize", "Hello", "--ids").stdout == run("tokenize", "-m", BUNDLED, "Hello", "--ids").stdout != "", "tokenize without -m")
    claim(run("detokenize", "39", "288").stdout == run("detokenize", "-m", BUNDLED, "39", "288").stdout != "", "detokenize without -m")
    refused(["run", model, "why is the sky blue"], "fathom chat -m MODEL", "fathom generate -m MODEL -p TEXT")
    refused(["generat", "-p", "x"], "Did you mean generate")
    refused(["quantise", "-m", "x"], "Did you mean quantize")
    refused(["frobnicate"], "fathom --help")
    for option in (["-ngl", "99"], ["--n-gpu-layers", "99"], ["--gpu-layers=99"]):
        refused(["generate", "-m", model, "-p", "x", *option], "CPUs alone")
    refused(["generate", "-m", model, "-p", "x", "-fa", "on"], "leave it out")
    refused(["generate", "-m", model, "-p", "x", "--mlock"], "--weights")
    refused(["generate", "-m", model, "-p", "x", "-ctk", "q8_0"], "--cache-type")
    refused(["generate", "-m", model, "-p", "x", "-no-cnv"], "leave it out")
    refused(["generate", "-m", model, "-sys", "x"], "--system")
    claim("conversation" not in run("tokenizer", "train", "-i", "x", "-o", "y").stderr, "advice for llama.cpp's -i where -i is an option of ours")
    refused(["generate", "-m", model, "-p", "x", "--max_new_tokens", "5"], "--max-tokens")
    refused(["generate", "-m", model, "-p", "x", "--temprature", "1"], "Did you mean --temperature")
    refused(["generate", "-m", model, "Hello", "there"], "quotes")
    refused(["generate", "-m", model, "Hello", "-p", "there"], "-p|prompt")
    refused(["generate", "-m", model, "-p", "x", "-f", str(prompt)], "xcludes")
    refused(["generate", "-m", model, "-p", "x", "-n", "5", "-n", "6"], "--max-tokens is given 2 times")
    refused(["generate", "-m", model, "--cache-tpye", "q8", "-p", "x"], "there is no option --cache-tpye. Did you mean --cache-type?")
    refused(["generate", "-m", model], "-p TEXT", "-f FILE")
    refused(["generate", "-m", model, "-f", str(folder / "nowhere.txt")], "nowhere.txt")
    for nothing in ("", "\n", "\ufeff\n"):
        refused(["generate", "-q", "-m", model, "-p", "-"], "stdin: the prompt is empty", stdin=nothing)
    refused(["generate", "-q", "-m", model, "--ids", " , "], "--ids holds no token id")


def check_completion():
    """Words that are no option's: the other name of a command, and commands as arguments."""
    script = run("completion", "bash").stdout + 'COMP_WORDS=(fathom "$@"); COMP_CWORD=$#; _fathom; printf "%s\\n" "${COMPREPLY[@]}"'
    for words, wanted in ((["show", "--tens"], "--tensors"), (["manual", "perp"], "perplexity"), (["help", "gen"], "generate"), (["inspect", "--tens"], "--tensors")):
        offered = subprocess.run(["bash", "--norc", "-c", script, "bash", *words], capture_output=True, text=True, timeout=60).stdout.split()
        claim(wanted in offered, f"for {words} bash offers {offered}")
    for shell in ("zsh", "fish"):
        claim(re.search("inspect show|'show'.*inspect", run("completion", shell).stdout), f"{shell} does not know show")


def check_seeds(model):
    def text(*arguments):
        p = run("generate", "-m", model, "-p", "Once", "-n", "24", "--temperature", "1.5", "--top-p", "1", *arguments)
        seed = re.search(r"^seed (\d+)$", p.stderr, re.M)
        claim(p.returncode == 0 and seed, f"no seed is printed: {p.stderr}")
        return p.stdout, seed and seed[1]

    first, seed = text()
    second, other = text("--seed", "-1")
    claim(seed != other and first != second, f"two runs have seeds {seed} and {other}")
    claim(text("--seed", seed) == (first, seed) and text("-s", other) == (second, other), "a printed seed does not give the same text")
    p = run("generate", "-m", model, "-p", "Once", "-n", "2", "--temperature", "0")
    claim("seed" not in p.stderr, "a seed is printed that is not used")
    p = run("generate", "-m", model, "-p", "Once", "-n", "24", "--temperature", "1.5", "--top-p", "1", "--json", "--seed", seed or "0")
    claim(f'"seed":{seed}' in p.stdout, "--json holds no seed")


def check_stop_escapes():
    arguments = ["generate", "-q", "-p", "def quicksort(", "-n", "120", "--temperature", "0.8", "--seed", "0"]  # of the bundled model
    whole, escaped, literal = (run(*arguments, *stop).stdout for stop in ([], ["--stop", "\\n\\n"], ["--stop", "\n\n"]))
    claim(escaped == literal and "\n\n" in whole and escaped == whole[:whole.index("\n\n")] + "\n", "--stop '\\n\\n' does not end before the first empty line")
    refused(["generate", "-p", "x", "--stop", "\\d"], "--stop", "escape")


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    model = str(folder / "tiny.gguf")
    assert run("synth", "-q", "--shape", "tiny", "--type", "q8_0", "--seed", "1", model).returncode == 0
    check_values()
    check_numbers_people_write()
    check_environment(model)
    check_other_programs_spellings(model, folder)
    check_completion()
    check_seeds(model)
    check_stop_escapes()
for failure in failures[:20]:
    print("options.py:", failure)
sys.exit(bool(failures))
