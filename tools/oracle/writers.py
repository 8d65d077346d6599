#!/usr/bin/env python3
"""Folders and files that other programs write: loaded by fathom, run, converted there and back, or refused by name.

    python tools/oracle/writers.py --install ENVIRONMENTS                      # the programs, from PyPI; needs a while
    python tools/oracle/writers.py --environments ENVIRONMENTS --fathom build/release/fathom --tokenizer FOLDER
        [--llama DIR] [--ik-llama CLONE] [--only ROW ...] [--keep FOLDER]

Every program writes a tiny model of the family in its own way (writer_programs.py). For each that fathom should read:
  loaded     `fathom inspect --check`
  run        logits at every position against transformers on the same folder, or on the values that PyPI gguf reads
             from the same file, in exact arithmetic; greedy tokens of `fathom generate` up to the first stop id that
             the program wrote; `fathom tokenize` against the tokenizer of transformers on hard strings
  there and back  folder -> GGUF -> folder, or GGUF -> folder -> GGUF: the same logits; stop ids, sampling defaults,
             chat templates, token ids unchanged
What fathom should refuse is refused with exit code 2 and one sentence that holds the words of the row. A program that
is not installed is named; it fails nothing. Exit code 1 when a row fails.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

import gguf_values
import llama_oracle
import writer_bases
from oracle_common import (EXACT, Fathom, RELATIVE_TOLERANCE, greedy_of, load_model, logits_of, read_json,
                           relative_difference)

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = ["Hello, y'all! How are you?", "   three spaces\n\n\tand 1234567890", "def f(x):\n    return x\n",
         "\u6211\u60f3\u5728apple\u5de5\u4f5c \U0001f601 \u041f\u0440\u0438\u0432\u0435\u0442"]
ALWAYS = ("lite", "lite_wide", "v2", "llama")  # what writers read beside the base of their row
NOT_INSTALLED = "not installed"
DEFAULTS = ("do_sample", "temperature", "top_p", "top_k", "repetition_penalty")

# What pip installs: {environment: (the one it lies over, packages)}. torch and transformers stand in the first, which all
# others see after their own packages; what would bring another torch comes without its dependencies.
ENVIRONMENTS = {
    "transformers": (None, ["torch==2.13.0", "transformers", "safetensors", "tokenizers", "gguf", "numpy", "accelerate",
                            "sentencepiece", "protobuf", "huggingface_hub"]),
    "transformers4": ("transformers", ["transformers==4.57.*"]),
    "peft": ("transformers", ["peft", "trl", "mergekit", "datasets"]),
    "swift": ("peft", ["ms-swift", "pillow"]),
    "unsloth": ("peft", ["--no-deps", "unsloth", "unsloth_zoo"]),
    "axolotl": ("peft", ["--no-deps", "axolotl", "addict", "fire", "termcolor", "colorama", "python-dotenv", "posthog",
                         "distro", "pillow", "numba", "llvmlite", "bitsandbytes", "fastcore"]),
    "llama-factory": ("peft", ["--no-deps", "llamafactory", "accelerate==1.11.0", "peft==0.18.1", "trl==0.24.0", "av",
                               "einops", "librosa", "fire", "termcolor", "omegaconf", "pillow",
                               "antlr4-python3-runtime==4.9.3"]),
    "torchtune": ("peft", ["--no-deps", "torchtune", "torchao==0.9.0", "omegaconf", "antlr4-python3-runtime==4.9.3",
                           "kagglehub", "blobfile", "tiktoken"]),
    "quantised": ("transformers", ["--no-deps", "bitsandbytes", "torchao", "compressed-tensors", "loguru"]),
    "auto-round": ("peft", ["--no-deps", "auto-round", "py-cpuinfo", "threadpoolctl"]),
    "mlx": ("transformers", ["--no-deps", "mlx-lm", "mlx", "mlx-cpu"]),
    "quovantiq": ("transformers", ["--no-deps", "quovantiq"]),
}

# Imported at the start and not used here, and no wheel of them loads beside torch's CPU build: empty modules.
STAND_INS = {"llama-factory": ["torchaudio"]}


@dataclasses.dataclass(frozen=True)
class Row:
    program: str
    writer: str  # in writer_programs.py
    what: str
    base: str = "lite"  # the model that was written, and its tokenizer
    environment: str = "transformers"
    refusal: str = ""  # words of the message, when fathom should refuse
    own_layout: bool = False  # transformers does not read it: its values are those of the base

    def path(self, outputs):
        """Where it writes; once written in parts, the first of them."""
        parts = sorted(outputs.glob(f"{self.writer}-00001-of-*.gguf"))
        return parts[0] if parts else outputs / (self.writer + (".gguf" if "gguf" in self.what else ""))


ROWS = [
    Row("transformers 5", "transformers_bf16", "save_pretrained, bfloat16"),
    Row("transformers 5", "transformers_shards", "save_pretrained, float16, shards", "v2"),
    Row("transformers 5", "transformers_tied", "save_pretrained, tied embeddings", "llama_tied"),
    Row("transformers 5", "transformers_stacked", "save_pretrained, save_original_format=False"),
    Row("transformers 5", "trainer_checkpoint", "Trainer's checkpoint-1"),
    Row("transformers 4", "transformers_4", "save_pretrained, bfloat16", environment="transformers4"),
    Row("peft", "peft_merged", "merge_and_unload, save_pretrained", environment="peft"),
    Row("trl", "trl_sft", "SFTTrainer.save_model", environment="peft"),
    Row("mergekit", "mergekit_linear", "mergekit-yaml, linear: leaves the experts out", "v2", "peft",
        "mlp.experts.0.gate_proj.weight is missing"),
    Row("mergekit", "mergekit_slerp_llama", "mergekit-yaml, slerp, float16", "llama", "peft"),
    Row("mergekit", "mergekit_passthrough", "mergekit-yaml, passthrough", "llama", "peft"),
    Row("mergekit", "mergekit_moe", "mergekit-moe, architecture deepseek", "moe_16b", "peft"),
    Row("torchtune", "torchtune_llama", "FullModelHFCheckpointer", "llama", "torchtune"),
    Row("unsloth", "unsloth_merged", "save_pretrained_merged, 16 bits", "llama", "unsloth"),
    Row("axolotl", "axolotl_merged", "axolotl merge-lora", environment="axolotl"),
    Row("LLaMA-Factory", "llama_factory_merged", "llamafactory-cli export", environment="llama-factory"),
    Row("ms-swift", "swift_merged", "swift export --merge_lora", environment="swift"),
    Row("safetensors", "safetensors_save_file", "torch.save_file, no metadata"),
    Row("safetensors", "safetensors_numpy", "numpy.save_file", "llama"),
    Row("accelerate", "accelerate_save", "save_model, shards", "llama"),
    Row("huggingface_hub", "hub_shards", "save_torch_state_dict, shards"),
    Row("huggingface_hub", "hub_cache", "snapshot_download: links into blobs"),
    Row("torch", "dcp_hugging_face", "HuggingFaceStorageWriter of distributed checkpoints"),
    Row("MLX", "mlx_convert", "mlx_lm.convert: experts stacked", environment="mlx", own_layout=True),
    *(Row("llama.cpp", f"llama_cpp_{base}_{kind}", f"convert_hf_to_gguf --outtype {kind}", base + "_whole")
      for base, kind in (("lite", "f32"), ("v2", "bf16"), ("llama", "q8_0"), ("moe_16b", "f32"))),
    Row("llama.cpp", "llama_cpp_split", "convert_hf_to_gguf --split-max-size", "lite_whole"),
    *(Row("ik_llama.cpp", f"ik_llama_{base}_{kind}", f"convert_hf_to_gguf --outtype {kind}", base + "_whole",
          "transformers4")
      for base, kind in (("lite", "f32"), ("v2", "bf16"))),
    *(Row("llama.cpp", f"llama_quantize_{kind}", f"llama_model_quantize of fathom's gguf: {kind}", "lite_wide")
      for kind in ("Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q3_K_L", "Q2_K", "Q6_K", "IQ4_NL", "IQ4_XS")),
    Row("llama.cpp", "gguf_split", "llama-gguf-split --split of fathom's gguf", "lite_wide"),
    Row("llama.cpp", "gguf_split_merge", "llama-gguf-split --merge of these", "lite_wide"),
    Row("gguf", "gguf_new_metadata", "gguf-new-metadata", "lite_whole"),
    Row("gguf", "gguf_set_metadata", "gguf-set-metadata", "lite_whole"),
    Row("quovantiq", "quovantiq_convert", "to gguf, without tokenizer.ggml.pre", "llama", "quovantiq",
        "tokenizer.ggml.pre is missing"),
    Row("peft", "peft_adapter", "a LoRA adapter", environment="peft", refusal="a LoRA adapter for"),
    Row("transformers 4", "transformers_4_bin", "safe_serialization=False", environment="transformers4",
        refusal="safe_serialization=True"),
    Row("torch", "torch_bin", "torch.save", refusal="safe_serialization=True"),
    Row("torch", "dcp_folder", "torch.distributed.checkpoint", refusal="distributed checkpoint"),
    Row("bitsandbytes", "bitsandbytes_nf4", "NF4", "llama", "quantised", "quantised by 'bitsandbytes'"),
    Row("torchao", "torchao_int8", "Int8WeightOnlyConfig", "llama", "quantised", "quantised by 'torchao'"),
    Row("compressed-tensors", "compressed_tensors_int8", "W8A16", "llama", "quantised",
        "quantised by 'compressed-tensors'"),
    Row("AutoRound", "auto_round_w4", "W4A16", "llama", "auto-round", "quantised by 'auto-round'"),
    Row("MLX", "mlx_quantised", "mlx_lm.convert -q", "llama", "mlx", "quantised by MLX"),
]


class Failure(Exception):
    pass


def stop_ids(path):
    if path.is_file():
        return gguf_values.stop_ids(path)
    settings = path / "generation_config.json"
    ids = read_json(settings if settings.exists() else path / "config.json").get("eos_token_id")
    return sorted(ids) if isinstance(ids, list) else [ids]


def sampling_defaults(folder):
    found = read_json(folder / "generation_config.json") if (folder / "generation_config.json").exists() else {}
    return {key: found[key] for key in DEFAULTS if found.get(key) is not None}


def model_of(path, base):
    if path.is_file():
        return gguf_values.model_of(path, base, read_json(base / "config.json"))
    return load_model(path, ["norm_topk_prob"] if read_json(path / "config.json").get("norm_topk_prob") else [])


class Subject:
    """One output: what it should say, computed once, and the faults of what fathom says of it or of what follows."""

    def __init__(self, fathom, path, base, own_layout):
        self.fathom, self.path, self.faults = fathom, path, []
        self.model = model_of(base if own_layout else path, base)
        self.logits = logits_of(self.model, writer_bases.PROMPT)
        self.text = writer_bases.tokenizer_of(path if path.is_dir() else base)
        greedy, _lead = greedy_of(self.model, writer_bases.PROMPT, writer_bases.N_GREEDY)
        ends = [at for at, token in enumerate(greedy) if token in stop_ids(path)]
        self.generated = (greedy[:ends[0]], "stop") if ends else (greedy, "length")

    def need(self, passed, what):
        if not passed:
            self.faults.append(what)

    def check(self, path, what):
        """Logits, greedy tokens up to a stop id, token ids. Returns the difference of the logits."""
        ids = " ".join(map(str, writer_bases.PROMPT))
        apart = relative_difference(self.fathom.logits(path, writer_bases.PROMPT), self.logits)[0]
        self.need(apart <= RELATIVE_TOLERANCE, f"{what}: logits differ by {apart:.1e}")
        answer = json.loads(self.fathom.run("generate", "-m", path, "--ids", ids, "-n", writer_bases.N_GREEDY,
                                            "--temperature", 0, "--repeat-penalty", 1, "--json", "--quiet",
                                            "--arithmetic", EXACT))
        got = (answer["ids"], answer["finish_reason"])
        self.need(got == self.generated, f"{what}: generate gives {got}, not {self.generated}")
        for text in TEXTS:
            got = [int(i) for i in self.fathom.run("tokenize", "-m", path, "--ids", "--no-bos", text).split()]
            self.need(got == self.text(text, add_special_tokens=False)["input_ids"], f"{what}: token ids of {text!r}")
        return apart

    def check_folder_kept(self, after):
        for name, value_of in (("stop ids", stop_ids), ("sampling defaults", sampling_defaults)):
            old, new = value_of(self.path), value_of(after)
            self.need(old == new, f"there and back: {name} {new} for {old}")
        old, new = (writer_bases.tokenizer_of(folder) for folder in (self.path, after))
        for name in ("chat_template", "bos_token_id", "eos_token_id", "pad_token_id"):
            self.need(getattr(new, name) == getattr(old, name), f"there and back: another {name}")
        self.need(new.get_vocab() == old.get_vocab(), "there and back: another vocabulary")

    def check_gguf_kept(self, after):
        old, new = gguf_values.text_keys(self.path), gguf_values.text_keys(after)
        changed = sorted(key for key in old if old[key] != new.get(key))
        self.need(not changed, f"there and back: {', '.join(changed)}")

    def there_and_back(self, scratch):
        """folder -> GGUF -> folder, or the other way round. Blocks of a GGUF file become float32 in a folder."""
        gguf, folder = scratch / "middle.gguf", scratch / "middle"
        if self.path.is_dir():
            self.fathom.run("convert", self.path, gguf, "--quiet")
            self.check(gguf, "as GGUF")
            self.fathom.run("convert", gguf, folder, "--quiet")
            self.check(folder, "there and back")
            self.check_folder_kept(folder)
            return
        self.fathom.run("convert", self.path, folder, "--quiet", *gguf_values.folder_type(self.path))
        self.check(folder, "as folder")
        self.fathom.run("convert", folder, gguf, "--quiet")
        self.check(gguf, "there and back")
        self.check_gguf_kept(gguf)


def check_refused(row, fathom, path):
    for command in (["inspect", path], ["generate", "-m", path, "--ids", "1", "-n", "1"],
                    ["convert", path, path.with_name(f"never-{row.writer}" + (".gguf" if path.is_dir() else ""))]):
        done = subprocess.run([fathom.program, *map(str, command)], capture_output=True, text=True)
        said = done.stderr.strip().replace(str(path), path.name)
        if done.returncode != 2 or row.refusal not in said or "\n" in said:
            raise Failure(f"{command[0]}: exit {done.returncode}: {said[-400:]}")
    return "refused", f"...{said[max(0, said.find(row.refusal) - 20):][:90]}", ""


def measure(row, fathom, path, bases):
    """The three columns of the table after what was written."""
    if row.refusal:
        return check_refused(row, fathom, path)
    fathom.run("inspect", path, "--check")
    subject = Subject(fathom, path, bases / row.base, row.own_layout)
    apart = subject.check(path, "run")
    with tempfile.TemporaryDirectory() as scratch:
        subject.there_and_back(pathlib.Path(scratch))
    if subject.faults:
        raise Failure("; ".join(subject.faults))
    return "yes", f"{apart:.1e}", "identical"


# ---- running the programs ----

def python_of(environments, name):
    return environments / name / "bin/python"


def install(environments):
    pip = environments / "transformers/bin/pip"
    for name, (below, packages) in ENVIRONMENTS.items():
        folder = environments / name
        subprocess.run([sys.executable, "-m", "venv", *(("--without-pip",) if below else ()), folder], check=True)
        if below:
            own, other = (next((environments / one / "lib").glob("python3*/site-packages")) for one in (name, below))
            (own / "zz_below.pth").write_text(f"import site; site.addsitedir({str(other)!r})\n")
        subprocess.run([pip, "--python", python_of(environments, name), "install", "--quiet", *packages], check=True)
        for module in STAND_INS.get(name, ()):
            (next((folder / "lib").glob("python3*/site-packages")) / f"{module}.py").touch()


def prepare(bases, tokenizer, rows, fathom):
    """The bases that the rows ask for."""
    for name in dict.fromkeys((*(row.base for row in rows), *ALWAYS)):
        folder, plain = bases / name, name.removesuffix("_whole")
        if not folder.exists():
            writer_bases.make_base(plain, tokenizer, folder, whole=plain != name)
        for suffix, make in (("_released", writer_bases.released_layout), ("_other", writer_bases.other_weights)):
            if not folder.with_name(name + suffix).exists():
                make(folder, folder.with_name(name + suffix))
    if not (bases / "lite_wide_fathom.gguf").exists():
        fathom.run("convert", bases / "lite_wide", bases / "lite_wide_fathom.gguf", "--quiet")


def write_all(rows, arguments, bases, outputs):
    """{writer: {"version": ...} or {"error": ...}}: all writers of one environment in one process. What an earlier run
    kept is not written again."""
    kept = outputs / "answers.json"
    answers = read_json(kept) if kept.exists() else {}
    rows = [row for row in rows if "version" not in answers.get(row.writer, {})]
    for name in dict.fromkeys(row.environment for row in rows):
        own = [row for row in rows if row.environment == name]
        python = python_of(arguments.environments, name)
        if not python.exists():
            answers |= {row.writer: {"error": NOT_INSTALLED} for row in own}
            continue
        pairs = [f"{row.writer}={row.path(outputs)}" for row in own]
        environment = os.environ | dict(LLAMA_MODULES=str(arguments.llama), IK_LLAMA_CPP=str(arguments.ik_llama),
                                        TOKENIZERS_PARALLELISM="false")
        if arguments.llama:
            environment["LLAMA_CPP"] = str(llama_oracle.Llama(arguments.llama).sources)
        done = subprocess.run([python, HERE / "writer_programs.py", bases, *pairs], capture_output=True, text=True,
                              env=environment)
        answers |= {line["writer"]: line for line in map(json.loads, done.stdout.splitlines())}
        kept.write_text(json.dumps(answers, indent=1))
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--install", type=pathlib.Path, metavar="ENVIRONMENTS")
    parser.add_argument("--environments", type=pathlib.Path)
    parser.add_argument("--fathom", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path)
    parser.add_argument("--llama", type=pathlib.Path, help="npm prefix of node-llama-cpp, see docs/oracles.md")
    parser.add_argument("--ik-llama", type=pathlib.Path, help="clone of ik_llama.cpp")
    parser.add_argument("--only", nargs="*", choices=[row.writer for row in ROWS], default=[row.writer for row in ROWS])
    parser.add_argument("--keep", type=pathlib.Path, help="folder for what the programs write")
    arguments = parser.parse_args()
    if arguments.install:
        return install(arguments.install.resolve())
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    fathom = Fathom(arguments.fathom.resolve(), os.environ | {"FATHOM_TUNE": "off"})
    rows = [row for row in ROWS if row.writer in arguments.only]
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        work = (arguments.keep or pathlib.Path(scratch)).resolve()
        bases, outputs = work / "bases", work / "outputs"
        outputs.mkdir(parents=True, exist_ok=True)
        prepare(bases, arguments.tokenizer, rows, fathom)
        answers = write_all(rows, arguments, bases, outputs)
        print("| Program | Version | What it wrote | Loaded | Run: difference of logits | There and back |\n"
              "|---|---|---|---|---|---|")
        for row in rows:
            made = answers.get(row.writer, {"error": "ended without an answer"})
            try:
                if "error" in made:
                    raise Failure(made["error"])
                columns = measure(row, fathom, row.path(outputs), bases)
            except (Exception, SystemExit) as error:  # a fault of the oracle is one of this row, too
                failed += str(error) != NOT_INSTALLED
                columns = ("FAILED" if str(error) != NOT_INSTALLED else "", str(error).replace("\n", " "), "")
            print(f"| {row.program} | {made.get('version', '')} | {row.what}, {row.base} | {' | '.join(columns)} |",
                  flush=True)
    print(f"{len(rows)} rows, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
