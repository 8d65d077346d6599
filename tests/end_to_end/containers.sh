#!/usr/bin/env bash
# Quotas of a control group are what a run plans with: needs the right to make one (root, and groups that are not mounted read-only), else nothing is tested here;
# tests/base/container_test.cpp then stands alone.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
name=fathom-test-$$
export FATHOM_TUNE=off FATHOM_CACHE_DIR="$dir/cache"
unset FATHOM_MODEL
fail() { printf 'containers.sh: %s\n' "$1"; exit 1; }
skip() { printf 'containers.sh: not run: %s\n' "$1"; exit 0; }

root=/sys/fs/cgroup
if [ -w "$root/memory/memory.limit_in_bytes" ] && [ -d "$root/cpu" ]; then # version 1
  memory=$root/memory/$name cpu=$root/cpu/$name
  limits() { echo "$1" > "$memory/memory.limit_in_bytes"; echo "$2" > "$cpu/cpu.cfs_quota_us"; }
elif [ -w "$root/cgroup.subtree_control" ] && grep -q memory "$root/cgroup.subtree_control" && grep -q cpu "$root/cgroup.subtree_control"; then
  memory=$root/$name cpu=$root/$name
  limits() { echo "$1" > "$memory/memory.max"; echo "$2 100000" > "$cpu/cpu.max"; }
else
  skip "no control groups that can be written"
fi
clean() { rmdir "$memory" "$cpu" 2> /dev/null || true; rm -rf "$dir"; }
trap clean EXIT
mkdir -p "$memory" "$cpu" 2> /dev/null || skip "control groups cannot be made"
inside() { bash -c 'for group in "$1" "$2"; do echo $$ > "$group/cgroup.procs"; done; shift 2; exec "$@"' - "$memory" "$cpu" "$@"; }

"$fathom" synth -q --shape tiny --type f32 --seed 1 "$dir/shape"
python3 - "$dir/shape/config.json" > "$dir/large.json" <<'END'
import json, sys
config = json.load(open(sys.argv[1]))
config["intermediate_size"] = config["moe_intermediate_size"] = 1 << 13
print(json.dumps(config))
END
"$fathom" synth -q --shape "$dir/large.json" --type q8_0 "$dir/large.gguf"
bytes=$(stat -c %s "$dir/large.gguf")
explain() { "$@" bench -q -m "$dir/large.gguf" --work decode:1:0:1 --repetitions 1 --no-limits --explain --json > "$dir/out" 2> "$dir/error" || fail "exit code $?: $(cat "$dir/error")"; }
field() { python3 -c "import json; print(json.load(open('$dir/out'))['runs'][0]['threads'])"; }

limits $((bytes * 4 + (256 << 20))) 50000
explain inside "$fathom"
grep -q "copied into" "$dir/out" || fail "not packed where there is room: $(cat "$dir/out")"
[ "$(field)" = 1 ] || fail "$(field) threads on half a CPU"
limits $((bytes * 2 / 3)) 1000000
explain inside "$fathom"
! grep -q "copied into" "$dir/out" || fail "packed where there is no room: $(cat "$dir/out")"
[ "$(field)" = "$(nproc)" ] || [ "$(nproc)" -gt 10 ] || fail "$(field) threads on ten CPUs"
code=0; inside "$fathom" generate -q -m "$dir/large.gguf" --weights packed --ids 1 -n 1 > "$dir/out" 2> "$dir/error" || code=$?
[ "$code" = 2 ] && grep -q "is available; try --weights mapped" "$dir/error" || fail "exit code $code: $(cat "$dir/error")"
