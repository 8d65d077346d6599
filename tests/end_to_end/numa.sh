#!/usr/bin/env bash
# FATHOM_NUMA: what bench --explain says of memory nodes, the same logits for any of them, one sentence for a wrong value.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_NUMA
export FATHOM_CACHE_DIR="$dir/cache"
fail() { printf 'numa.sh: %s\n' "$1"; exit 1; }
bench() { "$fathom" bench -q -m "$dir/tiny.gguf" -t "${threads:-3}" --work decode:1:0:1 --repetitions 1 --no-limits "$@"; }
explained() { local line=$1; shift; bench --explain "$@" > "$dir/table"; grep -q "^$line" "$dir/table" || fail "no '$line': $(cat "$dir/table")"; }

"$fathom" synth -q --shape tiny --type q8_0 --seed 1 "$dir/tiny.gguf" > "$dir/log" 2>&1 || fail "$(cat "$dir/log")"
FATHOM_NUMA=off explained "memory nodes: 1 (FATHOM_NUMA=off)$"
FATHOM_NUMA=off explained "placement of weights: none, all threads are on one node"
FATHOM_NUMA=2 explained "memory nodes: 2 (pretended: FATHOM_NUMA); CPUs of each: [0-9]*, [0-9]*; threads on each: [12], [12]$"
FATHOM_NUMA=2 explained "placement of weights: stripes of 2 MB in turns over 2 nodes"
FATHOM_NUMA=2 explained "placement of weights: none, they are used in the model's file" --weights mapped
FATHOM_NUMA=2 explained "placement of weights: none, pages of a mapped file" --weights cached
threads=1 FATHOM_NUMA=2 explained "placement of weights: none, all threads are on one node"
FATHOM_NUMA=2 bench --weights packed --json | python3 -c "
import json, sys
lines = json.load(sys.stdin)['explanation']
assert any(l.startswith('memory nodes: 2') for l in lines) and any('stripes of 2 MB' in l for l in lines), lines
"
"$fathom" logits -q -m "$dir/tiny.gguf" --ids "1 2 3" > "$dir/want"
for nodes in auto off 1 2 3 64; do
  FATHOM_NUMA=$nodes "$fathom" logits -q -m "$dir/tiny.gguf" -t 3 --ids "1 2 3" > "$dir/out"
  cmp -s "$dir/want" "$dir/out" || fail "other logits with FATHOM_NUMA=$nodes"
done
for bad in 0 65 two "2 "; do
  code=0; FATHOM_NUMA=$bad "$fathom" logits -q -m "$dir/tiny.gguf" --ids 1 > "$dir/out" 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && [ "$(wc -l < "$dir/error")" = 1 ] && grep -q "FATHOM_NUMA='$bad': it is auto, off" "$dir/error" || fail "FATHOM_NUMA=$bad gives $code: $(cat "$dir/error")"
done
