#!/usr/bin/env python3
"""How far each arithmetic and each cache type of fathom is from the reference, as the tables of README.md and docs/numerics.md say it.

    python3 tools/arithmetic_table.py build/release/fathom

Two sets are measured, with no package but Python's own:

fixtures   every checkpoint of tests/golden/models, against the logits that the reference implementation gave for it in float32 (docs/oracles.md). The
           weights are random, so experts lie close together and one rounding may flip one: the worst case, not the usual one.
bundled    models/bundled.gguf on the first 512 tokens of documents of data/tiny, against its own exact arithmetic with a float32 cache, which
           is what the fixtures show to be the reference's function.

The difference at a position is the largest difference of any logit there over the largest magnitude of any logit of the text. "flipped" counts positions at which it
is above 0.02: there another expert was chosen (or, in the bundled model, nearly so). The last line is what a bfloat16 framework does to the same
model: `--activations bf16`, which rounds wherever one would store a tensor.
"""
import argparse
import array
import json
import pathlib
import re
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETTINGS = [
    ("exact, cache f32", ["--arithmetic", "exact"]),
    ("default: fast, cache q16", []),
    ("fast, cache q8", ["--cache-type", "q8"]),
    ("fast, cache bf16", ["--cache-type", "bf16"]),
    ("exact, activations bf16", ["--arithmetic", "exact", "--activations", "bf16"]),
]
FLIPPED = 0.02


def read_npy(path):
    """A float32 array of two dimensions in C order, as a list of rows."""
    data = pathlib.Path(path).read_bytes()
    header_bytes = int.from_bytes(data[8:10], "little")
    header = data[10:10 + header_bytes].decode("latin-1")
    assert "'<f4'" in header and "'fortran_order': False" in header, header
    _rows, columns = map(int, re.search(r"\((\d+), (\d+)\)", header).groups())
    values = array.array("f", data[10 + header_bytes:])
    return [values[i:i + columns] for i in range(0, len(values), columns)]


def logits(fathom, model, ids, options):
    with tempfile.NamedTemporaryFile(suffix=".npy") as out:
        subprocess.run([fathom, "logits", "-m", model, "--ids", " ".join(map(str, ids)), "--all", "--format", "npy", "-o", out.name, "-q", *options], check=True)
        return read_npy(out.name)


def differences(got, want):
    """For each position, the largest difference of any logit over the largest magnitude of all of `want`."""
    scale = max(max(map(abs, row)) for row in want)
    return [max(abs(a - b) for a, b in zip(g, w)) / scale for g, w in zip(got, want)]


def fixture_texts():
    for folder in sorted((ROOT / "tests/golden/models").iterdir()):
        for prompt in json.loads((folder / "expected.json").read_text())["prompts"]:
            if "logits" in prompt:
                yield folder, prompt["ids"], read_npy(folder / prompt["logits"])


def bundled_texts(fathom, documents):
    model = ROOT / "models/bundled.gguf"
    for document in range(documents):
        text = subprocess.run([fathom, "data", "show", ROOT / "data/tiny", "--document", str(document), "--tokens", "2000"], check=True, capture_output=True).stdout
        text = text.split(b"\n", 1)[1].removeprefix("<｜begin▁of▁sentence｜>".encode())  # behind the line about the document
        made = subprocess.run([fathom, "tokenize", "-m", model, "--ids"], input=text, check=True, capture_output=True).stdout
        ids = list(map(int, made.split()))[:512]
        yield model, ids, logits(fathom, model, ids, ["--arithmetic", "exact"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fathom", help="the built program")
    parser.add_argument("--documents", type=int, default=8, help="documents for the bundled model")
    options = parser.parse_args()
    sets = {"fixtures": list(fixture_texts()), "bundled": list(bundled_texts(options.fathom, options.documents))}
    print("| set | arithmetic | worst position | median of the models' worst | median position | flipped |")
    print("|---|---|---|---|---|---|")
    for name, texts in sets.items():
        for setting, flags in SETTINGS:
            found = [differences(logits(options.fathom, model, ids, flags), want) for model, ids, want in texts]
            everything = sorted(value for text in found for value in text)
            flipped = sum(value > FLIPPED for value in everything)
            print(f"| {name} | {setting} | {everything[-1]:.1e} | {statistics.median(max(text) for text in found):.1e} "
                  f"| {statistics.median(everything):.1e} | {flipped} of {len(everything)} |", flush=True)


if __name__ == "__main__":
    main()
