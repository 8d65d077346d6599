#!/usr/bin/env bash
# --weights cached and fathom cache: one file, mapped by later runs with the same text, seen, verified and removed.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL
export FATHOM_CACHE_DIR="$dir/cache"
fail() { printf 'cache.sh: %s\n' "$1"; exit 1; }

"$fathom" synth -q --shape tiny --type q8_0 --seed 1 "$dir/tiny.gguf" > "$dir/log" 2>&1 || fail "$(cat "$dir/log")"
logits() { "$fathom" logits -q -m "$dir/tiny.gguf" --ids "1 2 3 4 5" --weights "$1" > "$dir/$1" 2> "$dir/notice"; }
said() { [ "$(wc -l < "$dir/notice")" = 1 ] && grep -q -- "$1" "$dir/notice" || fail "not one line with '$1': $(cat "$dir/notice")"; }
silent() { [ ! -s "$dir/notice" ] || fail "$(cat "$dir/notice")"; }
same() { cmp -s "$dir/packed" "$dir/$1" || fail "$1: other logits"; }
state() { ("$fathom" cache -q --json "$@" 2> "$dir/refused" || [ $? = 2 ]) | python3 -c "import json, sys; print(' | '.join(f['state'] for f in json.load(sys.stdin)['files']))"; }

logits packed; silent
[ "$("$fathom" cache)" = "0 files in $dir/cache" ] || fail "a folder that is not there: $("$fathom" cache)"
logits cached; silent; same cached
file=$(ls "$dir"/cache/*.panels)
[ "$(state)" = ready ] || fail "$(state)"
[ "$(state --verify)" = "ready, every checksum holds" ] || fail "$(state --verify)"
grep -q "tiny.gguf': ready" <("$fathom" cache) || fail "$("$fathom" cache)"
"$fathom" bench -q -m "$dir/tiny.gguf" --work decode:1:0:1 --repetitions 1 --no-limits --explain > "$dir/table"
grep -q "mapped from a cache file" "$dir/table" || fail "auto does not use it: $(cat "$dir/table")"

printf 'x' | dd of="$file" bs=1 seek=$((2 * 1024 * 1024 + 100)) conv=notrunc status=none
[ "$(state)" = ready ] || fail "$(state)"
case "$(state --verify)" in *"the checksum of "*" differs"*) ;; *) fail "$(state --verify)";; esac
grep -q "differs.*--prune" "$dir/refused" || fail "a damaged file is no error: $(cat "$dir/refused")"
logits auto; said "checksum"; same auto
logits cached; said "it is written again"; same cached
logits auto; silent; same auto
: > "$file"
logits auto; said "is no file of packed weights"; same auto
grep -q "^0 files" <("$fathom" cache --prune) || fail "a file that no run can use is still there"

logits cached
touch "$dir/tiny.gguf"
[ "$(state)" = "its model has changed" ] || fail "$(state)"
logits cached
echo half > "$dir/cache/0000000000000000.panels.1-0.partial"
"$fathom" cache --prune > "$dir/log"
[ "$(state)" = ready ] && [ "$(ls "$dir/cache" | wc -l)" = 1 ] || fail "$(cat "$dir/log"; ls "$dir/cache")"
grep -q "^removed .* MB" <("$fathom" cache --clear) || fail "nothing is removed"
[ -z "$(ls "$dir/cache")" ] || fail "$(ls "$dir/cache")"

: > "$dir/file"
FATHOM_CACHE_DIR="$dir/file/sub" logits cached; said "cannot be made"; same cached
