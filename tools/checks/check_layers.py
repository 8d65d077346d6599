#!/usr/bin/env python3
"""Includes point down the layer table: a folder of src/ uses itself and what stands below it.

    tools/checks/check_layers.py [SRC]

Prints every include that does not, and exits with 1. The table is the one of docs/architecture.md.
"""
import pathlib
import re
import sys

# What each folder may include besides itself.
BASE = {"base"}
TENSOR = BASE | {"tensor"}
QUANT = TENSOR | {"quant"}
CONFIG = QUANT | {"checkpoint", "config"}
MODEL = CONFIG | {"kvcache", "kernels", "model"}
LOAD = MODEL | {"tokenizer", "jinja", "data", "load"}
ENGINE = LOAD | {"packing", "grammar", "engine"}
MAY_USE = {
    "base": set(),
    "tensor": BASE,
    "jinja": BASE,
    "grammar": BASE,
    "http": BASE,
    "curl": BASE,
    "tokenizer": BASE | {"jinja"},
    "quant": TENSOR,
    "kvcache": TENSOR,
    "data": TENSOR | {"tokenizer"},
    "kernels": QUANT | {"kvcache"},
    "checkpoint": QUANT,
    "config": CONFIG,
    "hub": QUANT | {"checkpoint", "curl"},
    "model": MODEL,
    "load": LOAD,
    "packing": MODEL,
    "engine": ENGINE,
    "convert": LOAD,
    "train": LOAD,
    "plot": BASE,
    "web_page": BASE,
    "measure": ENGINE | {"plot", "curl"},
    "server": ENGINE | {"http", "web_page"},
    "claims": ENGINE | {"convert", "train", "measure"},
    "cli": ENGINE | {"convert", "data", "train", "plot", "measure", "claims", "http", "web_page", "server", "hub"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
SOURCES = {".h", ".cpp", ".inl"}


def problems(src: pathlib.Path):
    for file in sorted(src.rglob("*")):
        if file.suffix not in SOURCES:
            continue
        layer = file.relative_to(src).parts[0]
        if layer not in MAY_USE:
            yield f"{file}: folder {layer} is not in the layer table of {__file__}"
            continue
        for included in INCLUDE.findall(file.read_text()):
            target = included.split("/")[0]
            if not (src / included).is_file():
                yield f'{file}: "{included}" is not a path from {src}'
            elif target != layer and target not in MAY_USE[layer]:
                yield f'{file}: {layer} may not use {target} ("{included}")'


def main() -> int:
    src = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2] / "src"
    found = list(problems(src))
    for line in found:
        print(line)
    print(f"check_layers: {len(found)} problem(s)" if found else "check_layers: includes point down")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
