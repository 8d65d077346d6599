#!/usr/bin/env python3
"""GGUF files and folders that fathom wrote, through other programs: the opposite of writers.py.

    python tools/oracle/readers.py --fathom build/release/fathom --tokenizer FOLDER --llama DIR

Each reader opens what fathom makes of a tiny model (writer_bases.py) and says what it found:
  llama.cpp         logits at every position of F32 files, every family (llama_oracle.py); token ids of hard strings;
                    logits of quantised files, which it computes with activations of 8 bits
  PyPI gguf         its values of quantised files, run by transformers, against fathom's logits in exact arithmetic
  transformers      logits of a GGUF file by its own GGUF reader (llama only), and of folders that `fathom convert` made
                    from GGUF files: logits, token ids, chat template, ids that end a text
  @huggingface/gguf all metadata and tensor shapes, against PyPI gguf
  gguf-dump         the same by the script of PyPI gguf
DIR is the npm prefix of docs/oracles.md, with @huggingface/gguf in it. Exit code 1 when a reader finds anything else.
"""
import argparse
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers

import gguf_values
import llama_oracle
import writer_bases
from hard_strings import corpus
from oracle_common import Fathom, RELATIVE_TOLERANCE, load_model, logits_of, read_json, relative_difference

DUMP = """
const {gguf} = await import(process.argv[1]);
const found = await gguf(process.argv[2], {allowLocalFile: true});
const plain = (key, value) => typeof value === "bigint" ? Number(value) : value;
console.log(JSON.stringify({keys: Object.keys(found.metadata).sort(), template: found.metadata["tokenizer.chat_template"],
                            shapes: Object.fromEntries(found.tensorInfos.map(t => [t.name, t.shape]))}, plain));
"""


QUANTISED = ("Q8_0", "Q4_0", "Q4_K_M", "Q2_K", "IQ4_NL", "IQ4_XS")
QUANTISED_TOLERANCE = 0.1  # median over positions, of the largest logit: llama.cpp rounds activations to 8 bits


class Made:
    """What fathom made of one model, and what it should say."""

    def __init__(self, fathom, llama, base, scratch):
        self.fathom, self.llama, self.base, self.scratch = fathom, llama, base, scratch
        self.gguf = scratch / f"{base.name}.gguf"
        fathom.run("convert", base, self.gguf, "--quiet")

    @functools.cached_property
    def logits(self):
        return logits_of(load_model(self.base), writer_bases.PROMPT)

    @functools.cached_property
    def folder(self):
        folder = self.scratch / f"{self.base.name}-back"
        self.fathom.run("convert", self.gguf, folder, "--quiet")
        return folder

    def quantised(self, kind):
        path = self.scratch / f"{self.base.name}-{kind}.gguf"
        if not path.exists():
            self.fathom.run("quantize", "-q", "-m", self.gguf, "--type", kind, "-o", path)
        return path


def apart(got, expected):
    return relative_difference(got, expected)[0]


def number(difference, tolerance=RELATIVE_TOLERANCE):
    return difference <= tolerance, f"{difference:.1e}"


def by_llama_cpp(made):
    with made.llama.open(made.gguf) as model:
        return number(apart(model.logits(writer_bases.PROMPT), made.logits))


def by_llama_cpp_text(made):
    tokenizer, strings = writer_bases.tokenizer_of(made.base), corpus(200)
    with made.llama.open(made.gguf, vocab_only=True) as model:
        wrong = [text for text in strings
                 if model.tokenize(text, parse_special=True) != tokenizer(text, add_special_tokens=False)["input_ids"]]
    return not wrong, f"{len(strings)} strings, {len(wrong)} other: {wrong[:2]!r}" if wrong else f"{len(strings)} strings"


def by_llama_cpp_quantised(made, kind):
    path = made.quantised(kind)
    expected = logits_of(gguf_values.model_of(path, made.base, read_json(made.base / "config.json")), writer_bases.PROMPT)
    with made.llama.open(path) as model:
        got = model.logits(writer_bases.PROMPT)
    return number(float(np.median(np.abs(got - expected).max(axis=1) / np.abs(expected).max(axis=1))), QUANTISED_TOLERANCE)


def by_gguf_values(made, kind):
    path = made.quantised(kind)
    model = gguf_values.model_of(path, made.base, read_json(made.base / "config.json"))
    return number(apart(made.fathom.logits(path, writer_bases.PROMPT), logits_of(model, writer_bases.PROMPT)))


def by_transformers_gguf(made):
    model = transformers.AutoModelForCausalLM.from_pretrained(made.gguf.parent, gguf_file=made.gguf.name,
                                                              dtype=torch.float32)
    return number(apart(logits_of(model.eval(), writer_bases.PROMPT), made.logits))


def by_transformers_folder(made):
    passed, difference = number(apart(logits_of(load_model(made.folder), writer_bases.PROMPT), made.logits))
    old, new = (transformers.PreTrainedTokenizerFast.from_pretrained(folder) for folder in (made.base, made.folder))
    ends = [transformers.GenerationConfig.from_pretrained(folder).to_diff_dict() for folder in (made.base, made.folder)]
    starts = [old.bos_token_id]  # the base's add_bos_token, which transformers' general class reads from the folder only
    other = [text for text in corpus(200)
             if new(text)["input_ids"] != starts + old(text, add_special_tokens=False)["input_ids"]]
    chat = [dict(role="user", content="Hello"), dict(role="assistant", content="Yes"), dict(role="user", content="No")]
    said = [text.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for text in (old, new)]
    faults = [what for what, wrong in (("token ids", other), ("chat template", said[0] != said[1]),
                                       ("generation_config.json", ends[0] != ends[1])) if wrong]
    return passed and not faults, ", ".join([difference, *(f"another {fault}" for fault in faults)])


def shapes_of(path):
    return {tensor.name: [int(n) for n in tensor.shape] for tensor in gguf.GGUFReader(path).tensors}


def by_hub_gguf(made):
    module = made.llama.modules / "@huggingface/gguf/dist/index.mjs"
    done = subprocess.run(["node", "--input-type=module", "-e", DUMP, module, made.gguf], capture_output=True, text=True,
                          check=True)
    found = json.loads(done.stdout)
    reader = gguf.GGUFReader(made.gguf)
    template = reader.get_field("tokenizer.chat_template").contents()
    keys = sorted(key for key in reader.fields if not key.startswith("GGUF."))
    ours = sorted(set(found["keys"]) - {"version", "tensor_count", "kv_count"})
    same = (found["shapes"], found["template"], ours) == (shapes_of(made.gguf), template, keys)
    return same, f"{len(keys)} keys, {len(found['shapes'])} tensors" + ("" if same else ": other")


def by_gguf_dump(made):
    done = subprocess.run([pathlib.Path(sys.executable).parent / "gguf-dump", "--json", made.gguf], capture_output=True,
                          text=True, check=True)
    found = {name: tensor["shape"] for name, tensor in json.loads(done.stdout)["tensors"].items()}
    same = found == shapes_of(made.gguf)
    return same, f"{len(found)} tensors" + ("" if same else ": other")


READERS = [
    ("llama.cpp, logits", by_llama_cpp, ("lite", "llama", "llama_tied", "moe_16b")),
    ("llama.cpp, token ids", by_llama_cpp_text, ("lite", "llama")),
    *((f"llama.cpp, {kind}", functools.partial(by_llama_cpp_quantised, kind=kind), ("lite_wide",)) for kind in QUANTISED),
    *((f"PyPI gguf, {kind}", functools.partial(by_gguf_values, kind=kind), ("lite_wide",)) for kind in QUANTISED),
    ("transformers, gguf_file", by_transformers_gguf, ("llama",)),
    ("transformers, folder from GGUF", by_transformers_folder, ("lite", "v2", "llama", "llama_tied", "moe_16b")),
    ("@huggingface/gguf", by_hub_gguf, ("lite", "v2", "llama", "moe_16b")),
    ("gguf-dump", by_gguf_dump, ("lite", "v2", "llama", "moe_16b")),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fathom", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--llama", type=pathlib.Path, required=True)
    parser.add_argument("--bases", type=pathlib.Path, help="folder of bases that writers.py kept")
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    fathom = Fathom(arguments.fathom.resolve(), os.environ | {"FATHOM_TUNE": "off"})
    llama, made, failed = llama_oracle.Llama(arguments.llama), {}, 0
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        bases = arguments.bases or scratch / "bases"
        print("| Program | Model | Found | |\n|---|---|---|---|")
        for what, read, names in READERS:
            for base in names:
                if base not in made:
                    if not (bases / base).exists():
                        writer_bases.make_base(base, arguments.tokenizer, bases / base)
                    made[base] = Made(fathom, llama, bases / base, scratch)
                passed, found = read(made[base])
                failed += not passed
                print(f"| {what} | {base} | {found} | {'' if passed else 'FAILED'} |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
