#!/usr/bin/env bash
# fathom as somebody meets it: in C and UTF-8 locales, without HOME or with one that cannot be written, without any environment, from another folder, with paths of
# spaces, line ends and letters of other scripts, over pipes, with streams that are closed. The results are the same everywhere.
set -euo pipefail
fathom=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL FATHOM_CACHE_DIR XDG_CACHE_HOME
export FATHOM_TUNE=off
fail() { printf 'stranger.sh: %s\n' "$1"; exit 1; }
asan=${ASAN_OPTIONS:-} lsan=${LSAN_OPTIONS:-}

plain=$dir/m.gguf
"$fathom" synth -q --shape tiny --type q8_0 --seed 1 "$plain"
printf 'Ein Satz. 一つの文。 Одно предложение.\n' > "$dir/prompt.txt"
answer() { "$fathom" generate -q -m "$1" -f "$2" -n 12 --temperature 0 -t 1; }
answer "$plain" "$dir/prompt.txt" > "$dir/want"
same() { cmp -s "$dir/want" "$dir/out" || fail "$1 changes the text: $(cat "$dir/out")"; }

# Locales, and text that is not ASCII in and out.
for locale in C POSIX C.UTF-8 de_DE.UTF-8 tr_TR.UTF-8; do
  LC_ALL=$locale answer "$plain" "$dir/prompt.txt" > "$dir/out"; same "LC_ALL=$locale"
  LC_ALL=$locale "$fathom" logits -q -m "$plain" --ids "1 2" -t 1 > "$dir/logits.$locale"
  cmp -s "$dir/logits.C" "$dir/logits.$locale" || fail "LC_ALL=$locale changes numbers"
  [ "$(LC_ALL=$locale "$fathom" tokenize -m "$plain" "naïve 文" --ids | LC_ALL=$locale "$fathom" detokenize -m "$plain" --skip-special)" = "naïve 文" ] || fail "LC_ALL=$locale: text to ids and back"
done

# HOME: none, not there, not writable; no environment at all.
(unset HOME; answer "$plain" "$dir/prompt.txt") > "$dir/out"; same "no HOME"
for home in /nonexistent /proc/self /dev/null ""; do
  HOME=$home answer "$plain" "$dir/prompt.txt" > "$dir/out"; same "HOME=$home"
  HOME=$home "$fathom" generate -q -m "$plain" -f "$dir/prompt.txt" -n 12 --temperature 0 -t 1 --weights cached > "$dir/out" 2> "$dir/error"; same "HOME=$home --weights cached"
  printf 'hello\n' | HOME=$home "$fathom" chat -q -m "$plain" -n 4 --temperature 0 > /dev/null 2> "$dir/error" || fail "chat with HOME=$home: $(cat "$dir/error")"
done
env -i ASAN_OPTIONS="$asan" LSAN_OPTIONS="$lsan" "$fathom" generate -q -m "$plain" -f "$dir/prompt.txt" -n 12 --temperature 0 -t 1 > "$dir/out"; same "no environment"

# From another folder, by relative paths, and by paths of all kinds of names.
odd="$dir/a folder
with a line end, ÄÖÜ 文字 'quotes\" and \$dollars"
mkdir -p "$odd/out"
cp "$plain" "$odd/модель 1.gguf"; cp "$dir/prompt.txt" "$odd/- prompt.txt"
(cd "$odd" && answer "модель 1.gguf" "./- prompt.txt") > "$dir/out"; same "a relative path"
(cd /; answer "$odd/модель 1.gguf" "$odd/- prompt.txt") > "$dir/out"; same "a path of odd names"
(cd "$odd/out"; answer "../модель 1.gguf" "../- prompt.txt") > "$dir/out"; same "a path upwards"
ln -s "$odd" "$dir/link"; answer "$dir/link/модель 1.gguf" "$dir/link/- prompt.txt" > "$dir/out"; same "a symbolic link"
"$fathom" convert -q "$odd/модель 1.gguf" "$odd/out/en dossier é" --type f32
"$fathom" convert -q "$odd/out/en dossier é" "$odd/out/ back.gguf" --type q8_0
[ "$("$fathom" tokenize -m "$odd/out/en dossier é" --ids -f "$odd/- prompt.txt")" = "$("$fathom" tokenize -m "$odd/out/ back.gguf" --ids -f "$dir/prompt.txt")" ] || fail "a tokenizer in a folder of odd names"
"$fathom" data build -q --tokenizer "$plain" -i "$odd/- prompt.txt" --held-out 0 -o "$odd/out/data" > /dev/null
grep -q "Одно предложение" <("$fathom" data show "$odd/out/data" --document 0) || fail "data of a path of odd names"
"$fathom" inspect "$odd/модель 1.gguf" --json | python3 -c "import json, sys; json.load(sys.stdin)" || fail "inspect --json"

# Pipes, and streams that are closed.
answer "$plain" - < "$dir/prompt.txt" > "$dir/out"; same "stdin"
answer "$plain" - < <(cat "$dir/prompt.txt") | cat > "$dir/out"; same "a pipe on both sides"
answer "$plain" "$dir/prompt.txt" > "$dir/out" < /dev/null; same "an empty stdin"
answer "$plain" "$dir/prompt.txt" > "$dir/out" <&- 2>&-; same "a closed stdin and stderr"
(setsid "$fathom" generate -q -m "$plain" -f "$dir/prompt.txt" -n 12 --temperature 0 -t 1 < /dev/null > "$dir/out"); same "no terminal"
TERM=dumb answer "$plain" "$dir/prompt.txt" > "$dir/out"; same "TERM=dumb"
(unset TERM; answer "$plain" "$dir/prompt.txt") > "$dir/out"; same "no TERM"
