#!/usr/bin/env bash
# generate --prompts: each answer is what its prompt gets alone, in order, whatever runs beside it; bad lines are named before work; a run that was cut off goes on.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL
export FATHOM_TUNE=off
fail() { printf 'prompts.sh: %s\n' "$1"; exit 1; }
m=$dir/m.gguf
"$fathom" synth -q --shape tiny --type q8_0 --seed 1 "$m"

cat > "$dir/prompts.jsonl" <<'J'
{"prompt": "once", "max_tokens": 12}
{"id": {"row": 2}, "ids": [5, 6, 7], "temperature": 0.9, "seed": 4, "max_tokens": 3}

{"prompt": "upon a time", "temperature": 1.5, "top_k": 40, "top_p": 1, "min_p": 0.01, "repeat_penalty": 1.2}
{"ids": [9], "max_tokens": 0}
{"prompt": "there", "max_tokens": -1, "stop": null, "id": "last"}
J
ask() { "$fathom" generate -m "$m" -q -c 48 -n 6 --temperature 0.7 --seed 11 --ignore-eos "$@"; }
for batch in 1 2 8; do ask --prompts "$dir/prompts.jsonl" --batch $batch -o "$dir/answers.$batch"; done
cmp -s "$dir/answers.1" "$dir/answers.2" && cmp -s "$dir/answers.1" "$dir/answers.8" || fail "answers depend on --batch"
ask --prompts - < "$dir/prompts.jsonl" | cmp -s - "$dir/answers.8" || fail "stdin and stdout differ from files"

ask --prompts "$dir/prompts.jsonl" -o /dev/null || fail "answers to /dev/null"
mkfifo "$dir/fifo"; cat "$dir/fifo" > "$dir/through" & ask --prompts "$dir/prompts.jsonl" -o "$dir/fifo"; wait
cmp -s "$dir/through" "$dir/answers.8" || fail "a FIFO gets something else"

# The same prompts one by one.
alone() { "$fathom" generate -m "$m" -q -c 48 --ignore-eos --json "$@"; }
{
  alone -p once -n 12 --temperature 0.7 --seed 11
  alone --ids "5 6 7" -n 3 --temperature 0.9 --seed 4
  alone -p "upon a time" -n 6 --temperature 1.5 --top-k 40 --top-p 1 --min-p 0.01 --repeat-penalty 1.2 --seed 13
  alone --ids 9 -n 0 --temperature 0.7 --seed 14
  alone -p there -n -1 --temperature 0.7 --seed 15
} > "$dir/alone"
python3 - "$dir/alone" "$dir/answers.8" <<'P'
import json, sys
alone, together = ([json.loads(line) for line in open(f)] for f in sys.argv[1:])
assert len(alone) == len(together) == 5
for a, t in zip(alone, together):
    for key in ("prompt_ids", "ids", "text", "finish_reason", "seed"):
        assert a[key] == t[key], (key, a, t)
assert [t.get("id") for t in together] == [None, {"row": 2}, None, None, "last"]
assert len(together[4]["ids"]) > 6
P

# Every sampling option as a field gives what it gives on the command line; what is out of range, or no token, is named.
cat > "$dir/sampling.jsonl" <<'J'
{"prompt": "upon a time", "temperature": 1.5, "top_k": 90, "top_p": 0.98, "min_p": 0.001, "typical_p": 0.97, "xtc_probability": 0.5, "xtc_threshold": 0.02, "seed": 3}
{"prompt": "upon a time", "temperature": 0, "repeat_penalty": 1.3, "repeat_last_n": 4, "presence_penalty": 0.6, "frequency_penalty": 0.4, "logit_bias": {"27": 8, "9": -100}}
{"prompt": "upon a time", "temperature": 0, "dry_multiplier": 9, "dry_base": 2, "dry_allowed_length": 1, "dry_penalty_last_n": 20, "logit_bias": [[27, 8]]}
J
"$fathom" generate -m "$m" -q -c 48 -n 30 --ignore-eos --prompts "$dir/sampling.jsonl" > "$dir/fields"
{
  alone -n 30 -p "upon a time" --temperature 1.5 --top-k 90 --top-p 0.98 --min-p 0.001 --typical-p 0.97 --xtc-probability 0.5 --xtc-threshold 0.02 --seed 3
  alone -n 30 -p "upon a time" --temperature 0 --repeat-penalty 1.3 --repeat-last-n 4 --presence-penalty 0.6 --frequency-penalty 0.4 --logit-bias 27=8 --logit-bias 9-100
  alone -n 30 -p "upon a time" --temperature 0 --dry-multiplier 9 --dry-base 2 --dry-allowed-length 1 --dry-penalty-last-n 20 --logit-bias 27+8
  alone -n 30 -p "upon a time" --temperature 0 --logit-bias 27=8
  alone -n 30 -p "upon a time" --temperature 0
} > "$dir/alone"
python3 - "$dir/fields" "$dir/alone" <<'P'
import json, sys
fields, (*alone, biased, plain) = ([json.loads(line)["ids"] for line in open(f)] for f in sys.argv[1:])
assert fields == alone, (fields, alone)
assert len({str(ids) for ids in (*alone, biased, plain)}) == 5, "an option changes nothing"
P
for bad in '"presence_penalty": 3' '"xtc_threshold": -1' '"logit_bias": {"x": 1}' '"logit_bias": {"99999": 1}' '"logit_bias": [5, 1]' '"logit_bias": {"5": 101}' '"dry_base": 0'; do
  printf '{"ids": [5], %s}\n' "$bad" > "$dir/bad"
  if "$fathom" generate -m "$m" -q --prompts "$dir/bad" > "$dir/out" 2> "$dir/err"; then fail "$bad is taken"; fi
  [[ $(wc -l < "$dir/err") = 1 && $(cat "$dir/err") = *"bad:1: "* ]] || fail "$bad: $(cat "$dir/err")"
done

# Log-probabilities: of the chosen token and of the most likely ones, which greedy decoding chooses from.
"$fathom" generate -m "$m" -q -c 48 -n 4 --temperature 0 --ignore-eos --prompts "$dir/prompts.jsonl" --logprobs 3 > "$dir/logprobs"
"$fathom" logits -m "$m" --ids "5 6 7" > "$dir/logits"
python3 - "$dir/logprobs" "$dir/logits" <<'P'
import json, math, sys
answers = [json.loads(line) for line in open(sys.argv[1])]
greedy = answers[4]
assert len(greedy["logprobs"]) == len(greedy["ids"])
for id, p in zip(greedy["ids"], greedy["logprobs"]):
    assert len(p["top"]) == 3 and p["top"][0] == [id, p["logprob"]], p
    assert p["top"][0][1] >= p["top"][1][1] >= p["top"][2][1]
row = json.load(open(sys.argv[2]))["logits"][0]
total = math.log(sum(math.exp(x) for x in row))
first = answers[1]["logprobs"][0]
assert abs(first["logprob"] - (row[answers[1]["ids"][0]] - total)) < 1e-4, first
P

# A run that was cut off in the middle of a line goes on, and asks nothing twice.
head -c $(($(head -n 2 "$dir/answers.8" | wc -c) + 10)) "$dir/answers.8" > "$dir/torn"
ask --prompts "$dir/prompts.jsonl" -o "$dir/torn"
cmp -s "$dir/answers.8" "$dir/torn" || fail "a run that goes on ends otherwise"
ask --prompts "$dir/prompts.jsonl" -o "$dir/torn"
cmp -s "$dir/answers.8" "$dir/torn" || fail "a run that was whole is not left alone"

# A file that holds something else stays as it is, one line without its end too; two runs do not write one file.
printf 'my only notes' > "$dir/notes"
"$fathom" generate -m "$m" -q --prompts "$dir/prompts.jsonl" -o "$dir/notes" 2> "$dir/error" && fail "notes are taken for answers"
grep -q 'notes:1: is no answer to prompt 1' "$dir/error" && [ "$(cat "$dir/notes")" = 'my only notes' ] || fail "notes are lost"
(flock 9; ask --prompts "$dir/prompts.jsonl" -o "$dir/shared" 2> "$dir/error") 9> "$dir/shared" && fail "two runs write one file"
grep -q 'another process is writing it' "$dir/error" || fail "two writers: $(cat "$dir/error")"
printf '{"prompt": "a", "max_tokens": 2.0, "top_k": 4e1, "id": 12345678901234567890}\n' > "$dir/whole.jsonl"
"$fathom" generate -m "$m" -q --prompts "$dir/whole.jsonl" > "$dir/out"
grep -q '"id":12345678901234567890' "$dir/out" || fail "an id of 64 bits: $(cat "$dir/out")"

# Conversations: the ids and the text that chat --messages has, tools and all.
cat > "$dir/conversation.json" <<'J'
{"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": [{"type": "text", "text": "Where does the river go?"}]}]}
J
{ echo '{"prompt": "once"}'; python3 -c "import json; print(json.dumps({**json.load(open('$dir/conversation.json')), 'id': 7}))"; } > "$dir/mixed.jsonl"
"$fathom" generate -q -m "$m" -n 8 --temperature 0 --prompts "$dir/mixed.jsonl" > "$dir/mixed"
"$fathom" chat -q -m "$m" -n 8 --temperature 0 --messages "$dir/conversation.json" --json > "$dir/chat"
python3 - "$dir/mixed" "$dir/chat" <<'P'
import json, sys
mixed = [json.loads(line) for line in open(sys.argv[1])]
chat = json.load(open(sys.argv[2]))
assert mixed[1]["id"] == 7 and mixed[1]["text"] == chat["message"]["content"] and mixed[1]["finish_reason"] == chat["finish_reason"], (mixed[1], chat)
assert len(mixed[1]["prompt_ids"]) == chat["prompt_tokens"]
P
echo '{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}' > "$dir/plain.jinja"
"$fathom" generate -q -m "$m" -n 8 --temperature 0 --prompts "$dir/mixed.jsonl" --chat-template "$dir/plain.jinja" > "$dir/other"
python3 - "$dir/mixed" "$dir/other" <<'P'
import json, sys
one, other = ([json.loads(line) for line in open(f)] for f in sys.argv[1:])
assert one[0] == other[0] and one[1]["prompt_ids"] != other[1]["prompt_ids"]
P

# Read as all other texts are: packed, with a byte order mark, in UTF-16, from a FIFO.
python3 - "$dir/mixed.jsonl" "$dir/conversation.json" "$dir/plain.jinja" <<'P'
import gzip, sys
for path in sys.argv[1:]:
    data = open(path, "rb").read()
    for end, form in ((".gz", gzip.compress(data)), (".bom", b"\xef\xbb\xbf" + data), (".utf16", data.decode().encode("utf-16")), (".png", b"\x89PNG\r\n\x1a\n" + bytes(9))):
        open(path + end, "wb").write(form)
P
for form in gz bom utf16; do
  "$fathom" generate -q -m "$m" -n 8 --temperature 0 --prompts "$dir/mixed.jsonl.$form" --chat-template "$dir/plain.jinja.$form" | cmp -s - "$dir/other" || fail "--prompts, $form"
  "$fathom" chat -q -m "$m" -n 8 --temperature 0 --messages "$dir/conversation.json.$form" > "$dir/said"
  printf '/load %s\n/regenerate\n' "$dir/conversation.json.$form" | "$fathom" chat -q -m "$m" -n 8 --temperature 0 2> "$dir/error" > "$dir/loaded" || fail "/load, $form: $(cat "$dir/error")"
  [ "$(cat "$dir/said")" = "$(python3 -c "import json; print(json.load(open('$dir/chat'))['message']['content'])")" ] || fail "--messages, $form"
  cmp -s "$dir/said" "$dir/loaded" || fail "/load, $form"
done
"$fathom" generate -q -m "$m" -n 8 --temperature 0 --prompts <(cat "$dir/mixed.jsonl.gz") | cmp -s - "$dir/mixed" || fail "--prompts from a pipe"

# What was sampled with another seed, or not sampled, is no answer that this run would give; a random seed accepts any.
for changed in "--temperature 0.7 --seed 12" "--temperature 0"; do
  code=0; "$fathom" generate -m "$m" -q -c 48 -n 6 --ignore-eos --prompts "$dir/prompts.jsonl" -o "$dir/torn" $changed 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && grep -q "torn:1: is no answer to prompt 1" "$dir/error" || fail "$changed: $code $(cat "$dir/error")"
done
for same in "--seed 11" "--seed -1" ""; do
  "$fathom" generate -m "$m" -q -c 48 -n 6 --temperature 0.7 --ignore-eos --prompts "$dir/prompts.jsonl" -o "$dir/torn" $same || fail "answers with '$same' are not kept"
done
cmp -s "$dir/answers.8" "$dir/torn" || fail "answers that were kept have changed"

refused() {
  local wanted=$1 code=0
  shift
  "$fathom" generate -m "$m" -q "$@" > "$dir/out" 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && [ "$(wc -l < "$dir/error")" = 1 ] && grep -q -e "$wanted" "$dir/error" && [ ! -s "$dir/out" ] || fail "$* gives $code: $(cat "$dir/error")"
}
line() { printf '{"prompt": "fine"}\n%s\n' "$1" > "$dir/bad.jsonl"; }
line '{"prompt": "a", "temprature": 1}';        refused "bad.jsonl:2: .*temprature.* Did you mean temperature" --prompts "$dir/bad.jsonl"
line '{"prompt": ""}';                          refused 'bad.jsonl:2: "prompt" is empty' --prompts "$dir/bad.jsonl"
line '{"prompt": "a", "ids": [1]}';             refused 'bad.jsonl:2: .*one of' --prompts "$dir/bad.jsonl"
line '{"ids": [99999999]}';                     refused 'bad.jsonl:2: .*99999999' --prompts "$dir/bad.jsonl"
line '{"prompt": "a", "temperature": -1}';      refused 'bad.jsonl:2: .*temperature' --prompts "$dir/bad.jsonl"
line '{"prompt": "a", "max_tokens": 1.5}';      refused 'bad.jsonl:2: .*max_tokens' --prompts "$dir/bad.jsonl"
line '{"prompt": "a", "max_tokens": 9223372036854775808}'; refused 'bad.jsonl:2: .*9223372036854775808.*64 bits' --prompts "$dir/bad.jsonl"
line '{"prompt": "a", "id": 123456789012345678901}'; refused 'bad.jsonl:2: "id".*as a text' --prompts "$dir/bad.jsonl"
line '["prompt"]';                              refused 'bad.jsonl:2: .*an object' --prompts "$dir/bad.jsonl"
line '{"prompt": "a"';                          refused 'bad.jsonl:2: ' --prompts "$dir/bad.jsonl"
printf '\n{"x": 1}\n{}\n{"ids": []}\n' > "$dir/bad.jsonl"; refused 'bad.jsonl:2: .*and 2 more bad lines' --prompts "$dir/bad.jsonl"
: > "$dir/bad.jsonl";                           refused 'holds no prompt' --prompts "$dir/bad.jsonl"
refused 'mixed.jsonl.png: is a PNG image' --prompts "$dir/mixed.jsonl.png"
line '{"messages": [{"role": "user"}]}';        refused 'bad.jsonl:2: messages\[0\] (role user) has no content' --prompts "$dir/bad.jsonl"
line '{"messages": []}';                        refused 'bad.jsonl:2: there is no message to answer' --prompts "$dir/bad.jsonl"
line '{"messages": [{"role": "assistant", "content": "a"}]}'; refused 'bad.jsonl:2: messages\[0\] (role assistant) is the last' --prompts "$dir/bad.jsonl"
line '{"messages": [{"role": "user", "content": "a"}], "prompt": "b"}'; refused 'bad.jsonl:2: .*one of' --prompts "$dir/bad.jsonl"
line '{"prompt": "a", "tools": []}';            refused 'bad.jsonl:2: "tools" are for "messages" alone' --prompts "$dir/bad.jsonl"
line '{"prompt": "a long one"}';                refused 'bad.jsonl:1: the prompt has [0-9]* tokens, and the context has room for 1' --prompts "$dir/bad.jsonl" -c 1
refused 'no answer to prompt 1' --prompts "$dir/prompts.jsonl" -o "$dir/prompts.jsonl"
refused 'excludes' --prompts "$dir/prompts.jsonl" -p text
refused 'requires' -p text --logprobs 2

# On request a bad line is answered by what is wrong with it, and the others are answered; such a run goes on as well.
printf '{"prompt": "once"}\n{"id": "b", "prompt": 5}\n{"ids": [9]}\n{"prompt"\n' > "$dir/bad.jsonl"
report() { "$fathom" generate -m "$m" -q -n 4 --temperature 0 --prompts "$dir/bad.jsonl" --bad-lines report "$@"; }
report -o "$dir/reported" || fail "--bad-lines report"
python3 - "$dir/reported" <<'P'
import json, sys
a = [json.loads(line) for line in open(sys.argv[1])]
assert len(a) == 4 and all("error" not in a[i] and len(a[i]["ids"]) > 0 for i in (0, 2)), a
assert a[1]["id"] == "b" and a[1]["finish_reason"] == "error" and 'bad.jsonl:2: "prompt" is an integer' in a[1]["error"], a[1]
assert a[3]["finish_reason"] == "error" and "bad.jsonl:4: " in a[3]["error"] and "id" not in a[3], a[3]
P
head -n 2 "$dir/reported" > "$dir/half"
report -o "$dir/half"; cmp -s "$dir/reported" "$dir/half" || fail "a run with bad lines that goes on ends otherwise"

# Weights that overflow: the answer says so, the others are not lost, and the exit code does.
"$fathom" convert -q "$m" "$dir/nan" --type f32
python3 - "$dir/nan" <<'P'
import glob, json, struct, sys
for path in glob.glob(sys.argv[1] + "/*.safetensors"):
    data = bytearray(open(path, "rb").read())
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    if "model.embed_tokens.weight" in head:
        t = head["model.embed_tokens.weight"]
        begin = 8 + n + t["data_offsets"][0] + 4 * t["shape"][1] * 7  # the row of id 7
        data[begin:begin + 4] = struct.pack("<f", float("nan"))
        open(path, "wb").write(data)
P
printf '{"ids": [5, 6]}\n{"ids": [7], "id": "broken"}\n{"ids": [8]}\n' > "$dir/three.jsonl"
code=0; "$fathom" generate -m "$dir/nan" -q -n 3 --temperature 0 --ignore-eos --prompts "$dir/three.jsonl" > "$dir/out" 2> "$dir/error" || code=$?
[ "$code" = 2 ] && grep -q "1 of 3 prompts ended with an error.*prompt 2" "$dir/error" || fail "a prompt without numbers: $code: $(cat "$dir/error")"
python3 - "$dir/out" <<'P'
import json, sys
a = [json.loads(line) for line in open(sys.argv[1])]
assert [x["finish_reason"] for x in a] == ["length", "error", "length"] and a[1]["id"] == "broken" and a[1]["error"] and len(a[2]["ids"]) == 3, a
P
