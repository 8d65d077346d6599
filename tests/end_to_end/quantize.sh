#!/usr/bin/env bash
# fathom quantize and perplexity --against: the bundled model in fewer bits is near itself, importance data brings it nearer, refusals are sentences.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL
fail() { printf 'quantize.sh: %s\n' "$1"; exit 1; }
model=$(cd "$(dirname "$0")/../.." && pwd)/models/bundled.gguf

for i in 1 2 3 4; do cat "$(dirname "$0")/../../README.md"; done > "$dir/text"
against() { "$fathom" perplexity -q -m "$1" -f "$dir/text" --ctx 128 --windows 8 --against "$model" --json > "$dir/score"; }
score() { python3 -c "import json; print(json.load(open('$dir/score'))['against']['$1'])"; }
holds() { python3 -c "import sys; sys.exit(not ($1))" || fail "not true: $1"; }

against "$model"
[ "$(score kl_mean) $(score kl_max) $(score same_top) $(score perplexity_ratio)" = "0E0 0E0 1E0 1E0" ] ||
  [ "$(score kl_mean) $(score kl_max) $(score same_top) $(score perplexity_ratio)" = "0.0 0.0 1.0 1.0" ] || fail "a model is not itself: $(cat "$dir/score")"

quantize() { "$fathom" quantize -q --requantize -m "$model" "$@"; }
quantize --type q4_0 -o "$dir/plain.gguf"
quantize --type q4_0 -o "$dir/weighted.gguf" --calibration "$dir/text" --calibration-tokens 2000 --save-importance "$dir/importance.safetensors"
quantize --type q4 -o "$dir/own.gguf" --importance "$dir/importance.safetensors"
against "$dir/plain.gguf"; plain=$(score kl_mean)
against "$dir/weighted.gguf"; weighted=$(score kl_mean)
against "$dir/own.gguf"; own=$(score kl_mean)
holds "0.0005 < $plain < 0.05"
holds "$weighted < $plain"
holds "$own < $plain / 3"

refuses() { # the sentence has $1; the rest is the command
  local code=0 part=$1; shift
  "$@" > "$dir/out" 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && grep -q -- "$part" "$dir/error" || fail "exit code $code without '$part': $(cat "$dir/error")"
  [ ! -e "$dir/x.gguf" ] || fail "a refusal left a file"
}
refuses "is q8_0 already" "$fathom" quantize -m "$model" --type q4 -o "$dir/x.gguf"
refuses "matches no matrix" "$fathom" quantize --requantize -m "$model" --type q4 --tensor 'nothing=q8_0' -o "$dir/x.gguf"
refuses "known are f32, f16, bf16" "$fathom" quantize --requantize -m "$model" --type q4 --tensor '*=q9' -o "$dir/x.gguf"
refuses "there is no such element type" "$fathom" quantize -m "$model" --type q9 -o "$dir/x.gguf"
refuses "iq2_xxs is one of llama.cpp's types below 4 bits" "$fathom" quantize -m "$model" --type IQ2_XXS -o "$dir/x.gguf"

# A text that says nothing is no calibration; what a text said is reported.
: > "$dir/empty"
refuses "is empty" "$fathom" quantize --requantize -m "$model" --type q4_0 --calibration "$dir/empty" -o "$dir/x.gguf"
refuses "nothing to save" "$fathom" quantize --requantize -m "$model" --type q4_0 --save-importance "$dir/i.gguf" -o "$dir/x.gguf"
printf 'A few words.' > "$dir/short"
"$fathom" quantize --requantize -m "$model" --type Q4_K_M --calibration "$dir/short" --save-importance "$dir/imatrix.gguf" -o "$dir/short.gguf" 2> "$dir/report"
grep -q 'importance data of [0-9]* tokens; of [0-9]* experts [1-9][0-9]* were never chosen' "$dir/report" || fail "no report: $(cat "$dir/report")"
grep -q 'q5_0 instead of q4_k, whose blocks their rows do not fill: ' "$dir/report" || fail "no word of other types: $(cat "$dir/report")"

# Importance files of llama.cpp, both forms, by any name; of another model, refused by the tensor's name.
grep -q '^importance  *data of llama.cpp (GGUF)' <("$fathom" inspect "$dir/imatrix.gguf") || fail "inspect does not know importance data"
python3 - "$dir" << 'END'
import struct, sys
def entry(name, values):
    return struct.pack("<i", len(name)) + name + struct.pack("<2i", 1, len(values)) + struct.pack("<%df" % len(values), *values)
for path, cols in (("old", 192), ("other", 191)):
    values = [1.0 + i % 5 for i in range(cols)]
    open(f"{sys.argv[1]}/{path}", "wb").write(struct.pack("<i", 1) + entry(b"output.weight", values) + struct.pack("<2i", 1, 4) + b"text")
END
grep -q "the older form" <("$fathom" inspect "$dir/old") || fail "inspect does not know the older form"
quantize --type iq4_NL --importance "$dir/old" -o "$dir/old.gguf"
against "$dir/old.gguf"; holds "0.0005 < $(score kl_mean) < 0.05"
refuses "output.weight for 191 columns" "$fathom" quantize --requantize -m "$model" --type q4_0 --importance "$dir/other" -o "$dir/x.gguf"
quantize --type q4_0 --importance "$dir/importance.safetensors" --save-importance "$dir/again.gguf" -o "$dir/one.gguf"
quantize --type q4_0 --importance "$dir/again.gguf" -o "$dir/two.gguf"
against "$dir/one.gguf"; one=$(score kl_mean)
against "$dir/two.gguf"; two=$(score kl_mean)
holds "abs($one - $two) < 0.02 * $one"

"$fathom" synth -q --shape tiny --type f32 "$dir/tiny.gguf"
refuses "has .* ids" "$fathom" perplexity -q -m "$model" -f "$dir/text" --ctx 128 --against "$dir/tiny.gguf"
