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
refused 'no answer to prompt 1' --prompts "$dir/prompts.jsonl" -o "$dir/prompts.jsonl"
refused 'excludes' --prompts "$dir/prompts.jsonl" -p text
refused 'requires' -p text --logprobs 2
