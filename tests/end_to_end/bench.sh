#!/usr/bin/env bash
# fathom bench on a small model: JSON with every work, a table, a picture, and sentences for what cannot be done.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset FATHOM_PEER
echo leak:libfontconfig > "$dir/leaks"  # about a kilobyte, once a process; only a sanitised program asks
export LSAN_OPTIONS="suppressions=$dir/leaks:print_suppressions=0"
fail() { printf 'bench.sh: %s\n' "$1"; exit 1; }

"$fathom" synth --shape tiny --type q4_0 --seed 1 "$dir/tiny.gguf" > "$dir/log" 2>&1 || fail "$(cat "$dir/log")"
"$fathom" bench -m "$dir/tiny.gguf" --prompt 40 --depth 0,100 --batch 1,3 -n 4 --repetitions 2 --threads 1,2 --json --plot "$dir/speed.svg" \
  > "$dir/speed.json" 2> "$dir/progress"
grep -q "decode 3 sequences" "$dir/progress" || fail "no progress: $(cat "$dir/progress")"
grep -q "<svg" "$dir/speed.svg" || fail "no picture"
python3 - "$dir/speed.json" <<'P'
import json, sys
report = json.load(open(sys.argv[1]))
assert [run["threads"] for run in report["runs"]] == [1, 2]
for run in report["runs"]:
    works = {w["work"]: w for w in run["works"]}
    assert list(works) == ["prefill:40:0", "prefill:40:100", "decode:4:0:1", "decode:4:100:1", "decode:4:0:3"], list(works)
    for w in works.values():
        assert len(w["seconds"]) == 2 and min(w["seconds"]) > 0
        assert w["tokens_per_second"]["min"] <= w["tokens_per_second"]["median"] <= w["tokens_per_second"]["max"]
        assert w["weight_bytes"] > 0 and w["flops"] > 0 and w["percent_of_read"] > 0, w
    assert works["decode:4:100:1"]["cache_bytes"] > 10 * works["decode:4:0:1"]["cache_bytes"]
    assert works["decode:4:0:3"]["weight_bytes"] > works["decode:4:0:1"]["weight_bytes"]
    assert run["load_seconds"] > 0 and run["peak_memory_bytes"] > 1e6 and run["limits"]["read_bytes_per_second"] > 0
assert any("cache" in line for line in report["explanation"])
P
"$fathom" bench -q --plot "$dir/again.svg" --plot-from "$dir/speed.json"
cmp -s "$dir/speed.svg" "$dir/again.svg" || fail "another picture from the same figures"
"$fathom" bench -q -m "$dir/tiny.gguf" --work decode:2:10:2 --repetitions 1 --fill prefill --no-limits --explain > "$dir/table"
grep -q "decode 2 sequences at 10" "$dir/table" && grep -q "^cache: " "$dir/table" || fail "$(cat "$dir/table")"
grep -q "^where the time goes" "$dir/table" && grep -q "^decode 2 sequences at 10: .* ms a step" "$dir/table" && grep -q "^  experts  *[0-9.]* *([0-9.]* %)" "$dir/table" || fail "$(cat "$dir/table")"
"$fathom" bench -q -m "$dir/tiny.gguf" --work decode:2:10:2 --work prefill:8:0 --repetitions 2 --no-limits --explain --json --trace "$dir/trace.json" > "$dir/profile.json"
python3 - "$dir/profile.json" "$dir/trace.json" <<'P' || fail "the profile"
import json, sys
for w in json.load(open(sys.argv[1]))["runs"][0]["works"]:
    profile, seconds = w["profile"], sorted(w["seconds"])
    median = (seconds[0] + seconds[1]) / 2
    assert abs(sum(p["seconds"] for p in profile["parts"]) + profile["waiting_seconds"] - median) < 0.02 * median, w
    assert sum(p["flops"] for p in profile["parts"]) == w["flops"] and 0 <= profile["other_threads_at_work"] <= 1, w
assert any(e["name"] == "experts" for e in json.load(open(sys.argv[2]))["traceEvents"])
P

# One sentence and exit code 2.
refused() {
  local wanted=$1 code=0
  shift
  "$fathom" bench -q -m "$dir/tiny.gguf" --no-limits "$@" > "$dir/out" 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && [ "$(wc -l < "$dir/error")" = 1 ] && grep -q -e "$wanted" "$dir/error" || fail "$* gives $code: $(cat "$dir/error")"
}
refused "npm install" --against llama.cpp --peer "$dir"
refused "max_position_embeddings\|context" --depth 10000000 --prompt 8
refused "is no work" --work walk:5
refused "\-\-threads" --threads 1,none

# A server under load: the bundled model's.
export FATHOM_TUNE=off
"$fathom" bench serve --clients 1,3 --mix 40:6*2,90:3 --shared-prefix 64 --requests 6 --timeout 120 --json --plot "$dir/load.svg" > "$dir/load.json" 2> "$dir/progress"
grep -q "3 clients: 6 answered, 0 failed" "$dir/progress" || fail "no progress: $(cat "$dir/progress")"
grep -q "<svg" "$dir/load.svg" || fail "no picture of the load"
python3 - "$dir/load.json" <<'P'
import json, sys
report = json.load(open(sys.argv[1]))
assert [load["clients"] for load in report["loads"]] == [1, 3]
for load in report["loads"]:
    server = load["servers"][0]
    assert server["answered"] == 6 and server["errors"] == {} and server["output_tokens"] == 4 * 6 + 2 * 3, server
    assert server["prompt_tokens"] == 6 * 64 + 4 * 40 + 2 * 90, server
    assert [k["answered"] for k in server["kinds"]] == [4, 2]
    for times in ("first_token_seconds", "between_tokens_seconds", "request_seconds"):
        assert 0 < server[times]["p50"] <= server[times]["p90"] <= server[times]["p99"] <= server[times]["max"], server
P
"$fathom" bench serve -q --rate 50 --requests 5 --chat --prompt-tokens 30 --max-tokens 4 --timeout 120 --json > "$dir/open.json"
python3 -c 'import json, sys; s = json.load(open(sys.argv[1]))["loads"][0]["servers"][0]; assert s["answered"] == 5 and s["output_tokens"] == 20, s' "$dir/open.json"
refused_load() {
  local wanted=$1 code=0
  shift
  "$fathom" bench serve -q "$@" > "$dir/out" 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && [ "$(wc -l < "$dir/error")" = 1 ] && grep -q -e "$wanted" "$dir/error" || fail "serve $* gives $code: $(cat "$dir/error")"
}
refused_load "PROMPT:OUTPUT" --mix 5
refused_load "requests a second" --rate 0
refused_load "URL of a server" --url localhost
refused_load "127.0.0.1:1" --url http://127.0.0.1:1
refused_load "chosen by the measurement" --serve-options "--port 80"
refused_load "ended before it was ready" --serve-options "--keys $dir/none"
