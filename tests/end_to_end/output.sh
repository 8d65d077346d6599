#!/usr/bin/env bash
# What a command writes to stdout is whole, or its exit code is not 0; stderr is no part of a result; JSON is JSON; the end of the context ends a text.
set -uo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL
export FATHOM_TUNE=off FATHOM_CACHE_DIR="$dir/cache"
echo leak:libfontconfig > "$dir/leaks"
export LSAN_OPTIONS="suppressions=$dir/leaks:print_suppressions=0"
fail() { printf 'output.sh: %s\n' "$1"; exit 1; }

m=$dir/m.gguf
"$fathom" synth -q --shape tiny --type f32 --seed 1 "$m" || fail "synth"
printf 'One text.\n\nAnother one, a little longer.\n\nA third.\n' > "$dir/text"
"$fathom" data build -q --tokenizer "$m" -i "$dir/text" --held-out 0 -o "$dir/data" > /dev/null || fail "data build"
printf '{"prompt": "a"}\n' > "$dir/prompts.jsonl"

# A full disk: one sentence and exit code 2, from every command that writes to stdout.
full() {
  local code=0
  timeout 60 "$fathom" "$@" > /dev/full 2> "$dir/error" || code=$?
  [ "$code" = 2 ] || fail "exit code $code of: $* > /dev/full"
  [ "$(grep -c '^fathom: stdout: cannot be written' "$dir/error")" = 1 ] || fail "$* > /dev/full says: $(cat "$dir/error")"
}
full --version
full --help
full generate --help
full generate -m "$m" -p Hi -n 5 -q --seed 1
full generate -m "$m" -p Hi -n 5 -q --json
full generate -m "$m" -q --prompts "$dir/prompts.jsonl" -n 4
full tokenize -m "$m" hello
full tokenize -m "$m" hello --ids
full tokenize -m "$m" hello --json
full detokenize -m "$m" 5 6
full inspect "$m"
full inspect "$m" --json
full inspect "$m" --tensors
full inspect "$m" --tensors --json
full logits -m "$m" --ids 1
full logits -m "$m" --ids "1 2 3" --all --format npy
full perplexity -q -m "$m" -f "$dir/text" -c 4
full perplexity -q -m "$m" -f "$dir/text" -c 4 --json
full data show "$dir/data"
full data show "$dir/data" --document 0
full data show "$dir/data" --json
full data build -q --tokenizer "$m" -i "$dir/text" --held-out 0 -o "$dir/again"
full tokenizer train -q -i "$dir/text" -n 280 -o "$dir/tokenizer"
full cache
full cache --json
full tune --show
full tune --show --json
full completion bash
full manual generate

# A reader that has gone: SIGPIPE ends the program as it ends others; where it is ignored, the failed write is told.
code=0; (sleep 0.2; exec "$fathom" tokenize -m "$m" hello) | true || code=$?
[ "$code" = 141 ] || fail "a closed pipe gives $code"
code=0; (trap '' PIPE; sleep 0.2; exec "$fathom" tokenize -m "$m" hello 2> "$dir/error") | true || code=$?
[ "$code" = 2 ] && grep -q "stdout: cannot be written" "$dir/error" || fail "a closed pipe with SIGPIPE ignored gives $code"

# stderr that takes nothing changes nothing.
"$fathom" generate -m "$m" -p Hi -n 8 --seed 1 > "$dir/want" 2> /dev/null || fail "generate"
code=0; "$fathom" generate -m "$m" -p Hi -n 8 --seed 1 > "$dir/out" 2> /dev/full || code=$?
[ "$code" = 0 ] && cmp -s "$dir/want" "$dir/out" || fail "stderr on a full disk gives $code"
code=0; "$fathom" generate -m "$m" -p Hi -n 8 --seed 1 > "$dir/out" 2>&- || code=$?
[ "$code" = 0 ] && cmp -s "$dir/want" "$dir/out" || fail "a closed stderr gives $code"
code=0; (sleep 0.2; exec "$fathom" generate -m "$m" -p Hi -n 8 --seed 1) 2>&1 > "$dir/out" | true || code=$?
[ "$code" = 0 ] && cmp -s "$dir/want" "$dir/out" || fail "stderr into a closed pipe gives $code"
code=0; "$fathom" generate -m nowhere.gguf -p Hi 2> /dev/full || code=$?
[ "$code" = 2 ] || fail "a refusal that cannot be said gives $code"

# The end of the context is a reason to end, not an error.
json() { python3 -c "
import json, sys
def refuse(name): raise ValueError(name)
for line in sys.stdin.buffer.read().decode('utf-8').splitlines(): a = json.loads(line, parse_constant=refuse)
$1"; }
"$fathom" generate -m "$m" -c 16 --ids "3 4" -n 100 --temperature 0 -q --json | json "assert a['finish_reason'] == 'length' and len(a['ids']) == 15, a" || fail "--json at the end of the context"
"$fathom" generate -m "$m" -c 16 --ids "3 4" -n -1 --temperature 0 -q --ignore-eos --json | json "assert len(a['ids']) == 15, a" || fail "-n -1"
"$fathom" generate -m "$m" -c 16 --ids "3 4" -n 15 --temperature 0 -q --ignore-eos --json | json "assert a['finish_reason'] == 'length' and len(a['ids']) == 15, a" || fail "just enough room"
"$fathom" generate -m "$m" -c 16 --ids "3 4" -n 100 --temperature 0 --ignore-eos > "$dir/out" 2> "$dir/error" || fail "text at the end of the context"
grep -q "the context is full" "$dir/error" && [ "$(tail -c 1 "$dir/out" | od -An -tx1 | tr -d ' ')" = 0a ] || fail "text at the end of the context: $(cat "$dir/error")"
code=0; "$fathom" generate -m "$m" -c 4 --ids "3 4 5 6 7" -n 1 -q 2> "$dir/error" || code=$?
[ "$code" = 2 ] && grep -q "the context has room for" "$dir/error" || fail "a prompt longer than the context gives $code"
"$fathom" generate -m "$m" -c 0 --ids "3 4" -n 2 -q --json | json "assert len(a['ids']) <= 2" || fail "-c 0"

# JSON is JSON: no NaN, no infinity, no bytes that are not UTF-8.
"$fathom" synth -q --shape tiny --type f32 --seed 1 "$dir/hf" || fail "synth of a folder"
python3 - "$dir" <<'P'
import json, shutil, struct, sys
from pathlib import Path
d = Path(sys.argv[1])
def changed(name, change):
    shutil.copytree(d / "hf", d / name)
    file = d / name / "model.safetensors"
    data = bytearray(file.read_bytes())
    n = struct.unpack("<Q", data[:8])[0]
    begin, end = json.loads(data[8:8 + n])["lm_head.weight"]["data_offsets"]
    values = list(struct.unpack(f"<{(end - begin) // 4}f", data[8 + n + begin:8 + n + end]))
    data[8 + n + begin:8 + n + end] = struct.pack(f"<{len(values)}f", *change(values))
    file.write_bytes(data)
changed("nan", lambda v: [float("nan")] * 3 + v[3:])
changed("huge", lambda v: [1e6 * x for x in v])
P
for format in json npy; do
  code=0; "$fathom" logits -m "$dir/nan" --ids 1 --format $format > "$dir/out" 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && grep -q "not finite" "$dir/error" && [ ! -s "$dir/out" ] || fail "logits of NaN as $format: $code, $(cat "$dir/error")"
done
code=0; "$fathom" perplexity -q -m "$dir/nan" -f "$dir/text" -c 4 --json > "$dir/out" 2> "$dir/error" || code=$?
[ "$code" = 2 ] && grep -q "not finite" "$dir/error" || fail "perplexity of NaN: $code"
"$fathom" perplexity -q -m "$dir/huge" -f "$dir/text" -c 4 --json | json "assert a['perplexity'] is None and a['bits_per_byte'] > 1000, a" || fail "an infinite perplexity"
cp "$m" "$dir/"$'\xff.gguf'
"$fathom" inspect "$dir/"$'\xff.gguf' --tensors --json | json "assert a['tensors'][0]['file'].endswith('.gguf'), a" || fail "a name that is not UTF-8"
"$fathom" tokenize -m "$m" $'a\xff' --json | json "assert a['tokens']" || fail "a text that is not UTF-8"
exit 0

# A signal in the middle of an answer loses nothing of it: the JSON is written, and the process ends as by the signal.
printf '[{"role": "user", "content": "Hi"}]' > "$dir/conversation.json"
python3 - "$fathom" "$m" "$dir/conversation.json" <<'P' || fail "an answer that is interrupted"
import json, signal, subprocess, sys, time
fathom, m, conversation = sys.argv[1:]
def start(*arguments):
    return subprocess.Popen([fathom, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
for name, arguments in ((signal.SIGINT, ["generate", "-m", m, "-p", "Hi", "-n", "-1", "--ignore-eos", "--json", "-q"]),
                        (signal.SIGTERM, ["generate", "-m", m, "-p", "Hi", "-n", "-1", "--ignore-eos", "--json", "-q"]),
                        (signal.SIGINT, ["chat", "-m", m, "--messages", conversation, "--json", "-q", "--seed", "1"])):
    wait = 0.05  # until the answer has begun, which nothing shows
    while True:
        p = start(*arguments)
        time.sleep(wait)
        p.send_signal(name)
        out, error = p.communicate(timeout=60)
        assert p.returncode == -name, (arguments, p.returncode, out[-200:], error)
        if out:
            break
        wait *= 1.3
    answer = json.loads(out)
    assert answer["finish_reason"] == "interrupted", out[-300:]
    if arguments[0] == "generate":
        assert len(answer["ids"]) > 0 and answer["text"]
p = start("generate", "-m", m, "-p", "Hi", "-n", "-1", "--ignore-eos", "-q")
first = p.stdout.read(1)
p.send_signal(signal.SIGINT)
out, error = p.communicate(timeout=60)
assert p.returncode == -signal.SIGINT and first and out.endswith(b"\n"), (p.returncode, out[-100:], error)
P
