#!/usr/bin/env bash
# Runs every fuzz target for $1 seconds from its kept corpus, as many at a time as there are cores. New inputs go to build/fuzz, not to the corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-60}
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
run_one() {
  local name=$1 seconds=$2
  mkdir -p "build/fuzz/found/$name" "build/fuzz/artifacts"
  local log="build/fuzz/$name.log"
  if "build/fuzz/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=65536 -artifact_prefix="build/fuzz/artifacts/$name-" \
      "build/fuzz/found/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
    printf '%s: %s\n' "$name" "$(grep -a '^Done' "$log" || echo done)"
  else
    tail -40 "$log"
    printf '%s: FAILED; the input is in build/fuzz/artifacts\n' "$name"
    return 1
  fi
}
export -f run_one
ls tests/fuzz/fuzz_*.cpp | xargs -n1 basename | sed 's/\.cpp$//' | xargs -P "$(nproc)" -I{} bash -c 'run_one {} '"$seconds"
