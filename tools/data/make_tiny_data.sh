#!/usr/bin/env bash
# Makes data/tiny, the token data of configs/tiny.toml, from this repository's own documentation: tools/data/make_tiny_data.sh [FATHOM]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
fathom=${1:-build/release/fathom}
work=build/tiny-data  # a relative path: the manifest names its sources
rm -rf "$work" && mkdir -p "$work/docs"
# Paragraphs are the documents: enough of them for a held-out set.
for f in README.md CONTRIBUTING.md docs/*.md; do
  python3 - "$f" "$work/docs" <<'PY'
import pathlib, sys
source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
parts, part = [], ""
for block in source.read_text().split("\n\n"):
    part += block + "\n\n"
    if len(part) > 800:
        parts.append(part)
        part = ""
for i, text in enumerate(parts + ([part] if part else [])):
    (out / f"{source.stem}-{i:03}.txt").write_text(text)
PY
done
"$fathom" tokenizer train --input "$work/docs" --vocab-size 512 -o "$work/tokenizer"
"$fathom" data build --tokenizer "$work/tokenizer" --input "$work/docs" --held-out 0.1 -o data/tiny --force
