#!/usr/bin/env bash
# Without -m the bundled model runs: the same text every time, and English predicted far better than chance (12 bits a token).
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL
fail() { printf 'bundled_model.sh: %s\n' "$1"; exit 1; }

"$fathom" generate -q -p "In the beginning God" -n 16 --temperature 0 > "$dir/first"
"$fathom" generate -q -p "In the beginning God" -n 16 --temperature 0 -t 1 > "$dir/second"
cmp -s "$dir/first" "$dir/second" || fail "two runs differ"
[ "$(wc -w < "$dir/first")" -ge 6 ] || fail "fewer than six words: $(cat "$dir/first")"

cat > "$dir/text" <<'T'
And the king said to the people, I will go up to the city, and I will speak with the men of the house of my father. And when he was come into the land, they told him
all the words which the Lord had spoken. It was the third day of the month, and there was a great company of the children of Israel before the door of the house.
T
"$fathom" perplexity -q -f "$dir/text" --ctx 64 --json > "$dir/score"
python3 -c "import json, sys; sys.exit(not 0.5 < json.load(open('$dir/score'))['bits_per_byte'] < 2.0)" || fail "$(cat "$dir/score")"

# A model named by the environment takes its place; one that is not there is named in the error.
code=0; FATHOM_MODEL=/nonexistent.gguf "$fathom" generate -q -p x 2> "$dir/error" || code=$?
[ "$code" = 2 ] && grep -q nonexistent "$dir/error" || fail "a missing model gives exit code $code: $(cat "$dir/error")"
