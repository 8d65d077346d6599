#!/usr/bin/env bash
# Shell completion and manual pages follow the table of options: bash completes by it, zsh and fish (where they are installed) accept their scripts, and every
# command has a page that names every option of its --help.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { printf 'completion.sh: %s\n' "$1"; exit 1; }

"$fathom" completion bash > "$dir/fathom.bash"
mkdir "$dir/files"; touch "$dir/files/a model.gguf" "$dir/files/text.txt"
cat > "$dir/complete.bash" <<'B'
# complete.bash WORD... : what bash offers for the last word.
source "$SCRIPT"
COMP_WORDS=(fathom "$@"); COMP_CWORD=$#
_fathom
printf '%s\n' "${COMPREPLY[@]}"
B
offered() { (cd "$dir/files" && SCRIPT="$dir/fathom.bash" bash --norc "$dir/complete.bash" "$@"); }
offers() { # a whole line; by a file, as grep -q leaves a pipe before its writer has ended
  local wanted=$1; shift
  offered "$@" > "$dir/offered"
  grep -qx -e "$wanted" "$dir/offered" || fail "for '$*' bash offers: $(tr '\n' ' ' < "$dir/offered")"
}
complete -p > /dev/null  # this bash has completion at all
offers generate gen
offers "data" da
offers build data b
offers --temperature generate --temp
offers --document-separator data build --doc
offers q16 generate --cache-type q
offers q16 generate --cache-type = q
offers q8 generate -m model.gguf --cache-type q8
offers "a model.gguf" generate -m ""
offers "text.txt" perplexity --file t
offers zsh completion z
offers "text.txt" data build -i t
[ "$(offered generate --cache-type x)" = "" ] || fail "something is offered for a value that is none"
[ "$(offered generate --seed "")" = "" ] || fail "something is offered for a number"
offers --max-tokens generate --
offers train ""
for shell in zsh fish; do
  "$fathom" completion $shell > "$dir/fathom.$shell"
  grep -q -e 'cache-type' "$dir/fathom.$shell" && grep -q 'q16' "$dir/fathom.$shell" || fail "$shell"
  if command -v $shell > /dev/null; then $shell -n "$dir/fathom.$shell" || fail "$shell does not read its script"; fi
done
code=0; "$fathom" completion tcsh 2> "$dir/error" || code=$?
[ "$code" = 2 ] && grep -q "bash, zsh or fish" "$dir/error" || fail "tcsh: $(cat "$dir/error")"

"$fathom" manual -o "$dir/man"
python3 - "$fathom" "$dir/man" <<'P'
import re, subprocess, sys
from pathlib import Path
fathom, man = sys.argv[1], Path(sys.argv[2])
def help_of(words): return subprocess.run([fathom, *words, "--help"], capture_output=True, text=True, check=True).stdout
def commands(words):
    text = help_of(words)
    return re.findall(r"^  (\w+)(?:, \w+)* ", text.split("\nSubcommands:\n")[1].split("\nExamples")[0], re.M) if "\nSubcommands:\n" in text else []
def check(words):
    page = (man / ("-".join(["fathom", *words]) + ".1")).read_text()
    lines = page.splitlines()
    assert lines[0].startswith(".TH ") and [l for l in lines if l.startswith(".SH")][:2] == [".SH NAME", ".SH SYNOPSIS"], page[:200]
    shown = page.replace("\\-", "-").replace("\\e", "\\").replace("\\&", "")
    for option in re.findall(r"--[a-z][a-z-]+", "\n".join(l[:28] for l in help_of(words).splitlines() if l.startswith("  -"))):
        assert option in shown, (words, option)
    for line in lines:  # only macros that man(7) has begin with a dot
        assert not re.match(r"[.']", line) or re.match(r"\.(TH|SH|TP|PP|nf|fi)\b", line), (words, line)
    assert lines.count(".nf") == lines.count(".fi"), words
    return 1 + sum(check([*words, c]) for c in commands(words))
n = check([])
assert n == len(list(man.glob("*.1"))) and n > 15, n
P
if command -v groff > /dev/null; then
  for page in "$dir"/man/*.1; do [ -z "$(groff -man -Tutf8 -ww "$page" 2>&1 > /dev/null)" ] || fail "$(groff -man -Tutf8 -ww "$page" 2>&1 > /dev/null | head -3)"; done
fi
"$fathom" manual generate | cmp -s - "$dir/man/fathom-generate.1" || fail "one page and all pages differ"
"$fathom" manual data build | cmp -s - "$dir/man/fathom-data-build.1" || fail "a page of a command below a command"
code=0; "$fathom" manual nonsense 2> "$dir/error" || code=$?
[ "$code" = 2 ] || fail "a page of nothing gives $code"

# What `cmake --install` puts where shells and man look.
if [ -f "$(dirname "$fathom")/cmake_install.cmake" ]; then
  cmake --install "$(dirname "$fathom")" --prefix "$dir/usr" > "$dir/log" 2>&1 || fail "$(cat "$dir/log")"
  for file in bin/fathom share/man/man1/fathom.1 share/man/man1/fathom-data-build.1 share/bash-completion/completions/fathom share/zsh/site-functions/_fathom \
    share/fish/vendor_completions.d/fathom.fish; do
    [ -s "$dir/usr/$file" ] || fail "$file is not installed"
  done
fi
