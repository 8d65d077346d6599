#!/usr/bin/env bash
# fathom takes models as people have them: what cannot change a result is accepted and named, the same ids come from every form of a model, and a
# folder that is something else is told so.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_MODEL
export FATHOM_TUNE=off
fail() { printf 'files.sh: %s\n' "$1"; exit 1; }
json() { python3 -c "import json, sys; d = json.load(open('$dir/json')); print($1)"; }

bundled=$(cd "$(dirname "$0")/../.." && pwd)/models/bundled.gguf
"$fathom" convert -q "$bundled" "$dir/m" --type bf16
ids() { "$fathom" generate -m "$1" --ids "10 65 66" -n 12 --temperature 0 -q --json > "$dir/json"; json "d['ids']"; }
want=$(ids "$dir/m")
same() { [ "$(ids "$1")" = "$want" ] || fail "$1 gives other ids"; }
edit() { python3 -c "
import json, sys
path = sys.argv[1]
d = json.load(open(path, encoding='utf-8-sig'))
d.update(json.loads(sys.argv[2]))
json.dump(d, open(path, 'w'))" "$1" "$2"; }
refuses() { # the sentence has $1; the rest is the command
  local code=0 part=$1; shift
  "$@" > "$dir/out" 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && grep -q -- "$part" "$dir/error" || fail "exit code $code without '$part': $(cat "$dir/error")"
}

# Keys that cannot change a result, nulls, a byte order mark.
cp -r "$dir/m" "$dir/keys"
edit "$dir/keys/config.json" '{"unsloth_version": "2026.1.2", "experts_implementation": "grouped_mm", "sliding_window": null}'
edit "$dir/keys/tokenizer.json" '{"truncation": {"max_length": 4}, "padding": {"strategy": "BatchLongest"}}'
printf '\xef\xbb\xbf' | cat - "$dir/keys/config.json" > "$dir/config" && mv "$dir/config" "$dir/keys/config.json"
same "$dir/keys"
"$fathom" inspect "$dir/keys" > "$dir/out"
grep -q "passed over.*unsloth_version" "$dir/out" || fail "inspect does not name what it passed over"
"$fathom" inspect "$dir/keys" --json > "$dir/json"
[ "$(json "len(d['notes'])")" = 3 ] || fail "inspect --json has no notes: $(cat "$dir/json")"
[ "$("$fathom" tokenize -m "$dir/keys" "Hello world, how are you?" --ids)" = "$("$fathom" tokenize -m "$dir/m" "Hello world, how are you?" --ids)" ] ||
  fail "truncation cut a text"
edit "$dir/keys/config.json" '{"sliding_window": 4096}'
refuses "unknown key 'sliding_window'" "$fathom" inspect "$dir/keys"

# Every id that ends an answer, in each form.
cp -r "$dir/m" "$dir/stops"
third=$(python3 -c "print($want[3])")
edit "$dir/stops/generation_config.json" "{\"eos_token_id\": [1, 2, $third]}"
"$fathom" convert -q "$dir/stops" "$dir/stops.gguf" --type BF16
"$fathom" convert -q "$dir/stops.gguf" "$dir/stops-back"
cmp "$dir/stops/generation_config.json" "$dir/stops-back/generation_config.json" || fail "generation_config.json changed on its way"
for form in stops stops.gguf stops-back; do
  ids "$dir/$form" > "$dir/found"
  [ "$(json "d['finish_reason']")" = stop ] && [ "$(cat "$dir/found")" = "$(python3 -c "print($want[:$want.index($third)])")" ] ||
    fail "$form does not end at its third id: $(cat "$dir/json")"
done

# Shards without an index, one of them, the cache of the hub, a run, an adapter.
"$fathom" convert -q "$dir/m" "$dir/shards" --max-shard-size 5MB
shard=$(basename "$(ls "$dir"/shards/model-00002-of-*.safetensors)")
rm "$dir/shards/model.safetensors.index.json"
same "$dir/shards"
same "$dir/shards/$shard"
"$fathom" inspect "$dir/shards/$shard" > "$dir/out" 2> "$dir/error"
grep -q "is one of .* files of a sharded model" "$dir/error" || fail "a shard is not said to be one"
mv "$dir/shards/$shard" "$dir/away"
refuses "$shard is not in its folder" "$fathom" inspect "$dir/shards"
mkdir -p "$dir/models--o--n/refs" "$dir/models--o--n/snapshots"
cp -r "$dir/m" "$dir/models--o--n/snapshots/abc"
printf abc > "$dir/models--o--n/refs/main"
same "$dir/models--o--n"
mkdir "$dir/run"
cp -r "$dir/m" "$dir/run/step-00000002"
same "$dir/run"
"$fathom" inspect "$dir/run" > "$dir/out" 2> "$dir/error"
grep -q "using its newest checkpoint step-00000002" "$dir/error" || fail "a run's checkpoint is not named"
"$fathom" quantize -q -m "$dir/run" --type q8_0 -o "$dir/run.gguf" 2> "$dir/error"
grep -q "using its newest checkpoint step-00000002" "$dir/error" || fail "quantize does not say which checkpoint it took"
"$fathom" bench -q -m "$dir/run" --work decode:1:0:1 --repetitions 1 --no-limits > "$dir/out" 2> "$dir/error"
[ "$(grep -c "using its newest checkpoint step-00000002" "$dir/error")" = 1 ] || fail "bench does not say which checkpoint it took: $(cat "$dir/error")"
mkdir "$dir/adapter"
printf '{"peft_type": "LORA", "base_model_name_or_path": "o/n"}' > "$dir/adapter/adapter_config.json"
cp "$dir/m/model.safetensors" "$dir/adapter/adapter_model.safetensors"
refuses "is a LoRA adapter for 'o/n'" "$fathom" inspect "$dir/adapter"
printf 'Entry not found' > "$dir/x.gguf"
refuses "is a message ('Entry not found')" "$fathom" inspect "$dir/x.gguf"
printf 'version https://git-lfs.github.com/spec/v1\n' > "$dir/keys/config.json"
refuses "config.json: is a git-lfs pointer" "$fathom" inspect "$dir/keys"

# JSON is JSON whatever the file is called.
cp "$bundled" "$dir/"$'bad\xff.gguf'
"$fathom" inspect "$dir/"$'bad\xff.gguf' --tensors --json > "$dir/json"
[ "$(json "len(d['tensors']) > 0")" = True ] || fail "no tensors"
"$fathom" convert "$bundled" "$dir/"$'out\xff.gguf' --json > "$dir/json" 2> "$dir/error"
[ "$(json "d['lost']")" = "[]" ] || fail "convert --json: $(cat "$dir/json")"

# macOS's hidden twins; an ending in upper case.
cp -r "$dir/m" "$dir/forms"
mv "$dir/forms/model.safetensors" "$dir/forms/model-00001-of-00001.safetensors"
printf '\0\5\026\7' > "$dir/forms/._model-00001-of-00001.safetensors"
same "$dir/forms"
"$fathom" convert -q "$dir/m" "$dir/M.GGUF"
[ -f "$dir/M.GGUF" ] || fail "M.GGUF is no file"
same "$dir/M.GGUF"

# Importance files are named as such; the older form has neither a chunk size nor counts, so none are told.
golden=$(cd "$(dirname "$0")/../golden/imatrix" && pwd)
grep -q '"counted":false,"tokens":512,"chunks":1,"chunk_size":null,.*"experts_never_chosen":null' <("$fathom" inspect --json "$golden/llama.dat") || fail "llama.dat"
grep -q '"counted":true,"tokens":16,"chunks":1,"chunk_size":16,.*"experts_never_chosen":9' <("$fathom" inspect --json "$golden/llama.gguf") || fail "llama.gguf"

# Sequences within sequences are the same stages; an id that the model has not ends nothing, which is said.
cp -r "$dir/m" "$dir/nested"
python3 - "$dir/nested/tokenizer.json" <<'P'
import json, sys
d = json.load(open(sys.argv[1]))
d["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [d["pre_tokenizer"]]}
d["decoder"] = {"type": "Sequence", "decoders": [d["decoder"]]}
json.dump(d, open(sys.argv[1], "w"))
P
words="Hello world, 12345 times"
[ "$("$fathom" tokenize -m "$dir/nested" "$words" --ids)" = "$("$fathom" tokenize -m "$dir/m" "$words" --ids)" ] || fail "nested stages cut otherwise"
edit "$dir/nested/config.json" '{"eos_token_id": [1, 99999]}'
"$fathom" generate -m "$dir/nested" --ids 10 -n 1 -q > "$dir/out" 2> "$dir/error"
grep -q "eos_token_id 99999 is no id of the model" "$dir/error" || fail "an id beyond the vocabulary is not told of: $(cat "$dir/error")"

# What may not be read is said so, not taken for missing. (root may read all.)
if [ "$(id -u)" = 0 ] && command -v runuser > /dev/null; then
  chmod 755 "$dir"
  cp "$fathom" "$dir/fathom" # the folder of the build may be closed to others
  mkdir -m 700 "$dir/closed"
  cp -r "$dir/m" "$dir/closed/m"
  refuses "closed: cannot be listed: Permission denied" runuser -u nobody -- "$dir/fathom" inspect "$dir/closed"
  refuses "closed/m: cannot be opened: Permission denied" runuser -u nobody -- "$dir/fathom" inspect "$dir/closed/m"
fi
# What GGUF has no place for is said by whoever writes it.
cp -r "$dir/m" "$dir/bos"
edit "$dir/bos/config.json" '{"bos_token_id": 11}'
"$fathom" convert -q "$dir/bos" "$dir/bos.gguf" 2> "$dir/error"
grep -q "not carried: bos_token_id of config.json is 11" "$dir/error" || fail "convert does not say what is lost: $(cat "$dir/error")"
"$fathom" quantize -q -m "$dir/bos" --type q8_0 -o "$dir/bos-q.gguf" 2> "$dir/error"
grep -q "not carried: bos_token_id of config.json is 11" "$dir/error" || fail "quantize does not say what is lost: $(cat "$dir/error")"
"$fathom" quantize -m "$dir/bos" --type q8_0 -o "$dir/bos-j.gguf" --json > "$dir/json" 2> "$dir/error"
[ "$(json "d['lost'][0][:30]")" = "bos_token_id of config.json is" ] && [ "$(json "d['bits_per_weight'] > 8 and d['types']['q8_0']['tensors'] > 0")" = True ] && [ ! -s "$dir/error" ] ||
  fail "quantize --json: $(cat "$dir/json" "$dir/error")"

# A GGUF whose tokenizer cannot be used can be looked at; a run is told why it cannot.
python3 - "$bundled" "$dir/nopre.gguf" <<'P'
import sys
data = open(sys.argv[1], "rb").read()
assert data.count(b"tokenizer.ggml.pre") == 1
open(sys.argv[2], "wb").write(data.replace(b"tokenizer.ggml.pre", b"tokenizer.ggml.prX"))
P
"$fathom" inspect "$dir/nopre.gguf" > "$dir/out" || fail "inspect refuses a tokenizer that lacks a key"
grep -q "^tokenizer  *cannot be used: .*tokenizer.ggml.pre is missing" "$dir/out" && grep -q "^weights " "$dir/out" || fail "inspect: $(cat "$dir/out")"
"$fathom" inspect "$dir/nopre.gguf" --json > "$dir/json"
[ "$(json "'tokenizer.ggml.pre is missing' in d['tokenizer_fault'] and d['parameters'] > 0")" = True ] || fail "inspect --json: $(cat "$dir/json")"
refuses "tokenizer.ggml.pre is missing.*gguf-new-metadata --pre-tokenizer" "$fathom" generate -m "$dir/nopre.gguf" -p a
