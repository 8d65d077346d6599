#!/usr/bin/env bash
# Text is the same with every kind of speculation; a draft model with another vocabulary is refused.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL
fail() { printf 'speculation.sh: %s\n' "$1"; exit 1; }
field() { python3 -c "import json, sys; print(json.load(open('$dir/json'))['speculation']['$1'])"; }
"$fathom" generate -q -p "The king" -n 0 > /dev/null || fail "there is no bundled model"
bundled=$(dirname "$0")/../../models/bundled.gguf

for sampling in "--temperature 0" "--temperature 0.8 --seed 3" "--temperature 0 --repeat-penalty 1.2"; do
  generate() { "$fathom" generate -q -p "The king said" -n 100 $sampling "$@"; }
  generate --speculate off > "$dir/plain"
  for how in "--speculate auto" "--speculate-tokens 3" "--draft-model $bundled" "--speculate draft --draft-model $bundled --speculate-tokens 4"; do
    generate $how > "$dir/text"
    cmp -s "$dir/plain" "$dir/text" || fail "other text with $sampling $how"
  done
done

# The model is right about itself, but for roundings (the draft reads its prompt in other steps): 100 tokens after the first in about 20 steps of 5.
"$fathom" generate -q -p "The king said" -n 101 --temperature 0 --ignore-eos --speculate draft --draft-model "$bundled" --speculate-tokens 4 --json > "$dir/json"
[ "$(field steps)" -le 25 ] && [ "$(field accepted)" -ge 75 ] || fail "$(cat "$dir/json")"
"$fathom" generate -q -p "The king said" -n 10 --speculate off --json > "$dir/json"
[ "$(field steps)" = 0 ] || fail "steps are counted without speculation"

chat() { printf 'Who was it?\nAnd then?\n' | "$fathom" chat -n 40 --temperature 0 "$@"; }
chat -q --speculate off > "$dir/plain"
chat -q --draft-model "$bundled" --speculate-tokens 3 > "$dir/text"
cmp -s "$dir/plain" "$dir/text" || fail "another conversation"
chat --speculate-tokens 3 --timing > /dev/null 2> "$dir/timing"
grep -q 'tokens a step' "$dir/timing" || fail "--timing says nothing of speculation: $(cat "$dir/timing")"

refused() {  # words of the error, then options
  local words=$1 code=0
  shift
  "$fathom" generate -q -p x -n 1 "$@" > /dev/null 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && grep -q "$words" "$dir/error" && [ "$(wc -l < "$dir/error")" = 1 ] || fail "exit code $code: $(cat "$dir/error")"
}
"$fathom" synth --shape tiny --type f32 --seed 1 -q "$dir/other"
refused "needs the vocabulary" --draft-model "$dir/other"
refused "needs a --draft-model" --speculate draft
refused "uses no --draft-model" --speculate lookup --draft-model "$bundled"
refused nonexistent --draft-model /nonexistent
