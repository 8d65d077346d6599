#!/usr/bin/env bash
# fathom claims: each prints the paper's arithmetic and ours, as text and JSON; what cannot be done is one sentence.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { printf 'claims.sh: %s\n' "$1"; exit 1; }
refused() { # WANTED ARGUMENTS..
  local wanted=$1 code=0
  shift
  "$fathom" claims "$@" > "$dir/out" 2> "$dir/said" || code=$?
  [ "$code" = 2 ] && [ ! -s "$dir/out" ] && [ "$(wc -l < "$dir/said")" = 1 ] && grep -q -- "$wanted" "$dir/said" || fail "$*: $code, $(cat "$dir/said")"
}

"$fathom" claims kv --tokens 128 > "$dir/kv" 2> "$dir/said"
grep -q "1 - 25920 (v2-6bit) / 389120 (67B, bf16) = 93.3 %" "$dir/kv" || fail "$(cat "$dir/kv")"
grep -q "^where they differ" "$dir/kv" || fail "$(cat "$dir/kv")"
"$fathom" claims kv --tokens 128 --json -q > "$dir/kv.json"
python3 - "$dir/kv.json" <<'P' || fail "claims kv --json"
import json, sys
claim = json.load(open(sys.argv[1]))
assert claim["type"] == "v2-6bit" and round(claim["reduction"], 3) == claim["paper"]["reduction"] == 0.933, claim
for f in claim["formats"]:
    for shape in ("v2", "dense_67b"):
        if shape in f:
            assert f[shape]["bytes_per_token"] == f[shape]["formula_bytes_per_token"] <= f[shape]["taken_bytes_per_token"], f
by_type = {f["type"]: f for f in claim["formats"]}
assert by_type["bf16"]["dense_67b"]["bytes_per_token"] == 389120 and by_type["v2-6bit"]["v2"]["bytes_per_token"] == 25920
assert "dense_67b" not in by_type["v2-6bit"]
P

"$fathom" claims training --scale 64 --sequences 1 --rounds 2 > "$dir/training" 2> "$dir/said"
grep -q "1 - 172.8 / 300.6 = 42.5 %" "$dir/training" && grep -q "155.3 GFLOP" "$dir/training" && grep -q "seconds for 10^6 tokens" "$dir/training" || fail "$(cat "$dir/training")"
"$fathom" claims training --scale 64 --sequences 1 --rounds 3 --threads 1 --json -q > "$dir/training.json"
python3 - "$dir/training.json" <<'P' || fail "claims training --json"
import json, sys
claim = json.load(open(sys.argv[1]))
assert claim["paper"]["reduction"] == 0.425 and round(claim["flops_reduction"], 3) == 0.629 and claim["threads"] == 1, claim
assert round(claim["v2"]["flops_per_token"]["total"] / 1e9, 1) == 155.3 and len(claim["reductions"]) == 3
for shape in ("v2", "dense_67b"):
    assert min(claim[shape]["scaled"]["seconds"]) > 0 and claim[shape]["scaled"]["flops_per_second"] > 0
P
refused "--scale 4 with --sequences 4096 need .* are free; try a larger --scale" training --scale 4 --sequences 4096
refused "whole number from 4 to 64" training --scale 3

if [ "${FATHOM_ISA:-}" != ref ]; then  # reference kernels take minutes
"$fathom" claims throughput --scale 16 --fewer-layers 30 --memory 40MB --steps 1 --rounds 1 > "$dir/throughput" 2> "$dir/said"
grep -q "^the paper: 5.76 times" "$dir/throughput" && grep -q "^  V2, q8_0, v2-6bit / 67B, bf16, bf16 = " "$dir/throughput" && grep -q "^roofline of 8 x H800" "$dir/throughput" || fail "$(cat "$dir/throughput")"
"$fathom" claims throughput --scale 16 --fewer-layers 30 --memory 40MB --steps 1 --rounds 2 --deployed --json -q > "$dir/throughput.json"
python3 - "$dir/throughput.json" <<'P' || fail "claims throughput --json"
import json, sys
claim = json.load(open(sys.argv[1]))
assert claim["paper"]["ratio"] == 5.76 and 6 < claim["eight_h800"]["ratio"] < 7 and claim["eight_h800"]["extrapolated_ratio"] > 0
v2, dense = claim["variants"]
assert (v2["shape"], v2["weights"], v2["cache"]) == ("V2", "q8_0", "v2-6bit") and (dense["shape"], dense["weights"], dense["cache"]) == ("67B", "bf16", "bf16")
for v in (v2, dense):
    assert v["weight_bytes"] + v["sequences"] * claim["room"] * v["cache_bytes_per_token"] <= 40e6 and len(v["seconds"]) == 2
assert v2["sequences"] > 3 * dense["sequences"] and [c["what"] for c in claim["comparisons"]] == ["all, as deployed"]
P
fi
refused "67B reads 4096; try fewer" throughput --prompt 4000 --generate 97
refused "has no room for a sequence of .* larger --scale" throughput --memory 1MB
refused "4, 8 or 16" throughput --scale 5
refused "a command is needed"
refused "whole number from 1 to" kv --tokens 0
refused "nonsense" kv nonsense
