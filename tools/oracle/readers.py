#!/usr/bin/env python3
"""GGUF files and folders that fathom wrote, through other programs: the opposite of writers.py.

    python tools/oracle/readers.py --fathom build/release/fathom --tokenizer FOLDER --llama DIR

Each reader opens what `fathom convert` makes of a tiny model (writer_bases.py) and says what it found:
  llama.cpp         logits at every position of F32 files, every family (llama_oracle.py)
  transformers      logits of a GGUF file by its own GGUF reader (llama only), and of folders made from GGUF
  @huggingface/gguf all metadata and tensor shapes, against PyPI gguf
  gguf-dump         the same by the script of PyPI gguf
DIR is the npm prefix of docs/oracles.md, with @huggingface/gguf in it. Exit code 1 when a reader finds anything else.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import gguf
import torch
import transformers

import llama_oracle
import writer_bases
from oracle_common import Fathom, RELATIVE_TOLERANCE, load_model, logits_of, relative_difference

DUMP = """
const {gguf} = await import(process.argv[1]);
const found = await gguf(process.argv[2], {allowLocalFile: true});
const plain = (key, value) => typeof value === "bigint" ? Number(value) : value;
console.log(JSON.stringify({keys: Object.keys(found.metadata).sort(), template: found.metadata["tokenizer.chat_template"],
                            shapes: Object.fromEntries(found.tensorInfos.map(t => [t.name, t.shape]))}, plain));
"""


def shapes_of(path):
    return {tensor.name: [int(n) for n in tensor.shape] for tensor in gguf.GGUFReader(path).tensors}


def by_llama_cpp(path, expected, llama):
    with llama.open(path) as model:
        return relative_difference(model.logits(writer_bases.PROMPT), expected)[0]


def by_transformers_gguf(path, expected, _llama):
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    return relative_difference(logits_of(model.eval(), writer_bases.PROMPT), expected)[0]


def by_hub_gguf(path, _expected, llama):
    module = llama.modules / "@huggingface/gguf/dist/index.mjs"
    done = subprocess.run(["node", "--input-type=module", "-e", DUMP, module, path], capture_output=True, text=True,
                          check=True)
    found = json.loads(done.stdout)
    reader = gguf.GGUFReader(path)
    template = reader.get_field("tokenizer.chat_template").contents()
    keys = sorted(key for key in reader.fields if not key.startswith("GGUF."))
    ours = sorted(set(found["keys"]) - {"version", "tensor_count", "kv_count"})
    return 0.0 if (found["shapes"], found["template"], ours) == (shapes_of(path), template, keys) else 1.0


def by_gguf_dump(path, _expected, _llama):
    done = subprocess.run([pathlib.Path(sys.executable).parent / "gguf-dump", "--json", path], capture_output=True,
                          text=True, check=True)
    found = {name: tensor["shape"] for name, tensor in json.loads(done.stdout)["tensors"].items()}
    return 0.0 if found == shapes_of(path) else 1.0


READERS = [("llama.cpp", by_llama_cpp, ("lite", "llama", "llama_tied", "moe_16b")),
           ("transformers, gguf_file", by_transformers_gguf, ("llama",)),
           ("@huggingface/gguf", by_hub_gguf, ("lite", "v2", "llama", "moe_16b")),
           ("gguf-dump", by_gguf_dump, ("lite", "v2", "llama", "moe_16b"))]


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
    llama, failed = llama_oracle.Llama(arguments.llama), 0
    with tempfile.TemporaryDirectory() as scratch:
        bases, made = arguments.bases or pathlib.Path(scratch) / "bases", {}
        for name in dict.fromkeys(name for _what, _read, names in READERS for name in names):
            if not (bases / name).exists():
                writer_bases.make_base(name, arguments.tokenizer, bases / name)
            path = pathlib.Path(scratch) / f"{name}.gguf"
            fathom.run("convert", bases / name, path, "--quiet")
            made[name] = path, logits_of(load_model(bases / name), writer_bases.PROMPT)
        print("| Program | Model | Difference |\n|---|---|---|")
        for what, read, names in READERS:
            for name in names:
                path, expected = made[name]
                apart = read(path, expected, llama)
                failed += not apart <= RELATIVE_TOLERANCE
                print(f"| {what} | {name} | {apart:.1e} |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
