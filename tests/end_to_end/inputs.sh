#!/usr/bin/env bash
# What people give as text: files of any name judged by their content, packed, through pipes, with marks, binary by mistake; on every path that reads text.
set -euo pipefail
fathom=$(realpath "$1")
repository=$(cd "$(dirname "$0")/../.." && pwd)
model=$repository/models/bundled.gguf
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
unset FATHOM_MODEL
export FATHOM_TUNE=off
fail() { printf 'inputs.sh: %s\n' "$1"; exit 1; }

python3 - <<'PYTHON'
import gzip, json, lzma, pathlib
lines = "".join(json.dumps({"text": f"Document number {i} about topic {i % 7}. The quick brown fox jumps over {i} lazy dogs."}) + "\n" for i in range(40))
book = "".join(f"Chapter {i}. On the {i}th day the ship met a whale, and the crew of {i * 7} men looked on.\n" for i in range(500))
write = lambda name, data: pathlib.Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
for name in ("a.json", "a.JSONL", "a.txt", "a"):
    write(name, lines)
write("array.json", "[" + ",\n".join(lines.splitlines()) + "]")
write("a.jsonl.gz", gzip.compress(lines.encode()))
write("a.jsonl.xz", lzma.compress(lines.encode()))
write("bom.jsonl", b"\xef\xbb\xbf" + lines.encode())
write("utf16.jsonl", lines.encode("utf-16"))
write("bad.jsonl", b'{"text": "A good document."}\n{"text": "caf\xe9"}\n{"text": "cut \\ud83d in half"}\n{"text": "scored", "score": NaN}\n{"text": "cut off\n')
write("book.txt", book)
write("bom.txt", b"\xef\xbb\xbf" + book.encode())
write("book16.txt", book.encode("utf-16"))
write("book.gz", gzip.compress(book.encode()))
write("cut.gz", gzip.compress(book.encode())[:-20])
write("records.jsonl", "".join(json.dumps({"text": part}) + "\n" for part in book.split("\n") if part))
pathlib.Path("folder").mkdir()
write("folder/a.txt", book)
write("folder/cover.png", b"\x89PNG\r\n\x1a\n" + bytes(100))
write("nul.txt", b"text\0text")
PYTHON

"$fathom" tokenizer train -q -i book.txt -n 300 -o tokenizer > out || fail "no tokenizer was made"
n=0
build() { n=$((n + 1)); "$fathom" data build --tokenizer tokenizer -o "data$n" -q "$@" > out 2> error; }
documents() { # the command's words follow the number
  local want=$1; shift
  build --held-out 0 "$@" < "${stdin:-/dev/null}" || fail "data build $*: $(cat error)"
  grep -q " $want documents" out || fail "data build $*: not $want documents: $(cat out)"
}
refuses() { # a sentence with $1, exit code 2
  local code=0 part=$1; shift
  "$@" > out 2> error < "${stdin:-/dev/null}" || code=$?
  [ "$code" = 2 ] && [ "$(wc -l < error)" = 1 ] && grep -qF -- "$part" error || fail "$*: exit code $code, not '$part': $(cat error)"
}

# Judged by content, whatever the name is.
for file in a.json a.JSONL a.txt a array.json a.jsonl.gz bom.jsonl utf16.jsonl; do documents 40 -i $file; done
stdin=a.json documents 40 -i -
stdin=a.jsonl.gz documents 40 -i -
documents 40 -i <(cat a.json)
mkfifo fifo
cat array.json > fifo & documents 40 -i fifo
# The programs that are printed for tables are programs.
python3 - <<'PYTHON'
import pathlib
for name, head in (("t.parquet", b"PAR1\0"), ("t.arrow", b"ARROW1\0\0"), ("t.stream", b"\xff\xff\xff\xff\0\0"), ("t.orc", b"ORC\0")):
    pathlib.Path(name).write_bytes(head + bytes(64))
PYTHON
for file in t.parquet t.arrow t.stream t.orc; do
  refuses "$file: is a" build -i $file
  python3 - <<'PYTHON' || fail "what is printed for $file is no program: $(cat error)"
import re
compile(re.search(r"python3 -c '([^']*)' FILE > FILE.jsonl", open("error").read())[1], "printed", "exec")
PYTHON
done
refuses "a.jsonl.xz: is an xz file, not text; unpack it: xz -dc" build -i a.jsonl.xz
refuses "cut.gz: ends in the middle of its gzip data" build -i cut.gz
refuses "folder/cover.png: is a PNG image, not text" build -i folder
refuses "nul.txt: is binary, not text (byte 4 is NUL)" build -i nul.txt
documents 1 -i folder --not-text skip
grep -q "left out folder/cover.png: is a PNG image" error || fail "what was left out is not said: $(cat error)"
documents 1 -i a.json --as-text

# The policies hold in JSON lines; what is left out is counted, and named by file and line.
refuses "bad.jsonl:5" build -i bad.jsonl
documents 4 -i bad.jsonl --bad-lines skip
grep -q "fathom: left out bad.jsonl:5: " error && grep -q "2 repaired to UTF-8, 1 bad line(s) left out" out || fail "not counted: $(cat out error)"
documents 2 -i bad.jsonl --bad-lines skip --invalid-utf8 skip
refuses "bad.jsonl:2 is not valid UTF-8" build -i bad.jsonl --bad-lines skip --invalid-utf8 refuse
refuses "a.json:1: needed is an object with a string 'content'; the keys of this one are 'text'" build -i a.json --text-field content

# One text: pieces are held out, unless nothing is to be.
build -i book.txt && grep -q "pieces of the longest of each source are held out" out || fail "no piece was held out: $(cat out)"
build -i book.txt --held-out 0 && grep -q "nothing is held out: a training run cannot evaluate" out || fail "it is not said that nothing is held out"
build -i - < <(cat book.txt) && grep -q "held out  " out || fail "no piece of a pipe was held out: $(cat out)"
"$fathom" data show "data$n" --check > out || fail "data of a pipe is not whole"
first_tokens() { build -i "$1" --held-out 0 && "$fathom" data show "data$n" --document 0 --tokens 9 | tail -1 > "tokens-$1"; }
first_tokens bom.txt && first_tokens book.txt && cmp -s tokens-bom.txt tokens-book.txt || fail "the byte order mark is text: $(cat tokens-bom.txt)"

# Numbers that wrap, values that are empty, things named twice.
for number in 1.5 1 -0.1 nan inf; do refuses "" build -i book.txt --held-out $number; done
for weight in 0 -1 nan inf 1e999 x; do refuses "" build -i book.txt=$weight; done
for size in 0 -1 4294967596 300.5; do refuses "" "$fathom" tokenizer train -q -i book.txt -n $size -o never; done
refuses "" "$fathom" tokenizer train -q -i book.txt -n 300 --limit-bytes 99999999999GB -o never
refuses "empty" build -i ""
refuses "empty" "$fathom" data build --tokenizer "" -i book.txt -o never
refuses "empty" build -i book.txt --document-separator ""
refuses "empty" build -i a.json --text-field ""
refuses "is given twice" build -i book.txt -i ./book.txt
refuses "is given twice" build -i folder/a.txt -i folder --not-text skip
refuses "lies in the folder that is to be written" "$fathom" data build --tokenizer tokenizer -i data1/tokenizer.json -o data1 --force
[ ! -e never ] || fail "a refusal left a folder"

# The other paths that read text.
learned() { "$fathom" tokenizer train -q -n 300 --force -o "t$1" -i "${@:2}" > out 2> error && cat "t$1/tokenizer.json"; }
learned 1 book.txt > want
for file in bom.txt book16.txt book.gz; do learned 2 $file | cmp - want || fail "tokenizer train: $file is another text"; done
learned 3 - < book.gz | cmp - want || fail "tokenizer train: stdin is another text"
refuses "a PNG image" "$fathom" tokenizer train -q -i folder -n 300 -o never
score() { "$fathom" perplexity -q -m "$model" --ctx 64 --windows 2 --json -f "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["perplexity"])'; }
want=$(score book.txt)
for file in bom.txt book16.txt book.gz; do [ "$(score $file)" = "$want" ] || fail "perplexity: $file is another text"; done
[ "$(score - < book.gz)" = "$want" ] || fail "perplexity: stdin is another text"
sed 's/$/\n/' book.txt > spaced.txt
[ "$(score records.jsonl)" = "$(score spaced.txt)" ] || fail "perplexity: JSON records are not their texts"
for file in folder/cover.png a.jsonl.xz cut.gz nul.txt folder; do refuses "$file: " "$fathom" perplexity -m "$model" -f $file; done
refuses "cover.png: is a PNG image" "$fathom" quantize -q --requantize -m "$model" --type q4_0 --calibration folder/cover.png -o never.gguf
ids() { "$fathom" tokenize -m "$model" --ids "$@"; }
printf 'caf\303\251 au lait' > plain.txt
for form in 'cat' 'gzip -c' 'iconv -f UTF-8 -t UTF-16'; do
  $form < plain.txt > other.txt
  [ "$(ids -f other.txt)" = "$(ids -f plain.txt)" ] && [ "$(ids - < other.txt)" = "$(ids -f plain.txt)" ] || fail "tokenize: $form is another text"
done
printf '\357\273\277caf\303\251 au lait' | ids - | cmp - <(ids -f plain.txt) || fail "tokenize: the byte order mark of stdin is text"
refuses "is a PNG image" "$fathom" tokenize -m "$model" -f folder/cover.png
stdin=folder/cover.png refuses "stdin: is a PNG image" "$fathom" generate -q -m "$model" -p -
echo "inputs.sh: all holds"
