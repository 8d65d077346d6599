#!/usr/bin/env bash
# Runs every fuzz program of build/asan for SECONDS (60) on its kept corpus (tests/fuzz/corpus/NAME), as many at a time as there are cores. Inputs that it finds go to
# build/asan/found, not to the corpus. A crash: the input is left in build/asan/artifacts.
#   cmake --preset asan && cmake --build --preset asan && tools/checks/fuzz.sh 60
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-60}
run_one() {
  local name=$1 seconds=$2 work=build/asan
  mkdir -p "$work/found/$name" "$work/artifacts"
  if "$work/fuzz_$name" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -malloc_limit_mb=4096 -timeout=20 -print_final_stats=1 -artifact_prefix="$work/artifacts/$name-" \
      "$work/found/$name" "tests/fuzz/corpus/$name" >"$work/fuzz_$name.log" 2>&1; then
    printf 'fuzz_%s: %s inputs in %s s, nothing found\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: //p' "$work/fuzz_$name.log")" "$seconds"
  else
    tail -40 "$work/fuzz_$name.log"
    printf 'fuzz_%s: FAILED\n' "$name"
    return 1
  fi
}
export -f run_one
for f in tests/fuzz/fuzz_*.cpp; do basename "$f" .cpp | sed 's/^fuzz_//'; done | xargs -P "$(nproc)" -I{} bash -c "run_one {} $seconds"
