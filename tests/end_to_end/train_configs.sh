#!/usr/bin/env bash
# Every shipped config: those on data/tiny train three steps and write text; the others, for large data, are planned.
set -euo pipefail
fathom=$1
configs=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../configs" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() { printf 'train_configs.sh: %s\n' "$1"; exit 1; }
trained=0
for config in "$configs"/*.toml "$configs"/variants/*.toml; do
  name=$(basename "$config" .toml)
  grep -q 'FLOP a token' <("$fathom" train "$config" --dry-run) || fail "$name: --dry-run"
  grep -q '^path = ".*data/tiny"' "$config" || continue
  "$fathom" train "$config" --steps 3 -q -o "$dir/$name" || fail "$name: does not train"
  [ -f "$dir/$name/step-00000003/model.safetensors" ] || fail "$name: no checkpoint of step 3"
  [ "$(wc -l < "$dir/$name/metrics.jsonl")" -ge 2 ] || fail "$name: no metrics"
  # What is exported runs, through GGUF too.
  "$fathom" convert "$dir/$name/step-00000003" "$dir/$name.gguf" --type f32 -q || fail "$name: does not convert"
  for model in "$dir/$name/step-00000003" "$dir/$name.gguf"; do
    "$fathom" generate -m "$model" -p "The router" -n 8 --temperature 0 -q > /dev/null || fail "$name: $model does not run"
  done
  trained=$((trained + 1))
done
for variant in dense-mha dense-gqa dense-mqa moe-gshard moe-fine-grained moe-score-bias; do
  [ -d "$dir/$variant" ] || fail "$variant was not trained"
done
[ "$trained" -ge 7 ] || fail "only $trained configs were trained"
