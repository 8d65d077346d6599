#!/usr/bin/env bash
# fathom tune, FATHOM_TUNE and what `fathom cache` says of the file: measured once, kept, named when damaged, off when told.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL FATHOM_TUNE
export FATHOM_CACHE_DIR="$dir/cache"
fail() { printf 'tune.sh: %s\n' "$1"; exit 1; }
said() { [ "$(wc -l < "$dir/notice")" = 1 ] && grep -q -- "$1" "$dir/notice" || fail "not one line with '$1': $(cat "$dir/notice")"; }
explained() { "$fathom" bench -q -m "$dir/tiny.gguf" --work decode:1:0:1 --repetitions 1 --no-limits --explain 2> "$dir/notice" | grep "^costs of attention: $1" > /dev/null \
  || fail "not '$1': $(cat "$dir/notice")"; }

"$fathom" synth -q --shape tiny --type q8_0 --seed 1 "$dir/tiny.gguf" > "$dir/log" 2>&1 || fail "$(cat "$dir/log")"
explained "built in"
[ ! -e "$dir/cache" ] || fail "a small model is tuned"
grep -q "built in" <("$fathom" tune --show) || fail "$("$fathom" tune --show)"
[ ! -e "$dir/cache" ] || fail "--show writes"
code=0; FATHOM_TUNE=maybe "$fathom" logits -q -m "$dir/tiny.gguf" --ids 1 > "$dir/out" 2> "$dir/notice" || code=$?
[ "$code" = 2 ] || fail "FATHOM_TUNE=maybe gives $code"
said "FATHOM_TUNE"

"$fathom" tune > "$dir/table"
if [ "${FATHOM_ISA:-}" = ref ]; then  # reference kernels are not measured
  grep -q "built in" "$dir/table" || fail "$(cat "$dir/table")"
  exit 0
fi
grep -q "measured now.*kept in" "$dir/table" && grep -q "after 8192, packed weights" "$dir/table" || fail "$(cat "$dir/table")"
file=$(ls "$dir"/cache/machine/*.json)
"$fathom" tune --show --json | python3 -c "
import json, sys
shown, kept = json.load(sys.stdin), json.load(open(sys.argv[1]))
assert shown['mla'] == kept['mla'] and shown['file'] == sys.argv[1] and shown['measured'] == kept['measured'], (shown, kept)
" "$file"
grep -q "kernels: this machine" <("$fathom" cache) || fail "$("$fathom" cache)"
"$fathom" cache --json | python3 -c "import json, sys; [f] = json.load(sys.stdin)['files']; assert f['usable'] and f['model'] == '', f"
explained "built in"
FATHOM_TUNE=always explained "measured .* kept in"
FATHOM_TUNE=off explained "built in"

sed -i 's/"naive": ./"naive": 7/' "$file"
"$fathom" tune --show > "$dir/table" 2> "$dir/notice"; said "checksum differs.*not used"
grep -q "checksum differs" <("$fathom" cache) || fail "$("$fathom" cache)"
FATHOM_TUNE=always explained "measured now"; said "measured again"
FATHOM_TUNE=always explained "measured 2"; [ ! -s "$dir/notice" ] || fail "$(cat "$dir/notice")"
echo "{}" > "$dir/cache/machine/0000000000000000.json"
echo half > "$file.1-0.partial"
"$fathom" cache --prune > /dev/null
[ "$(ls "$dir/cache/machine")" = "$(basename "$file")" ] || fail "prune leaves $(ls "$dir/cache/machine")"
"$fathom" cache --clear > /dev/null
[ -z "$(ls "$dir/cache/machine")" ] || fail "clear leaves $(ls "$dir/cache/machine")"

: > "$dir/file"
grep -q "not kept: .*cannot be made" <(FATHOM_CACHE_DIR="$dir/file/sub" "$fathom" tune 2> "$dir/notice") || fail "no folder"
[ ! -s "$dir/notice" ] || fail "$(cat "$dir/notice")"
