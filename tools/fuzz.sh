#!/bin/sh
# Runs every fuzz program of build/fuzz for SECONDS (60) each on a copy of its seeds (tests/fuzz/corpus/NAME). Stops at the first crash
# and leaves the input that caused it in the current folder.
set -eu
seconds=${1:-60}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in "$root"/build/fuzz/fuzz_*; do
  [ -x "$program" ] && [ -f "$program" ] || continue
  name=$(basename "$program" | sed 's/^fuzz_//')
  mkdir -p "$work/$name"
  if [ -d "$root/tests/fuzz/corpus/$name" ]; then cp "$root/tests/fuzz/corpus/$name"/* "$work/$name"/; fi
  echo "fuzz_$name: $seconds seconds"
  "$program" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 "$work/$name" >"$work/$name.log" 2>&1 || {
    tail -n 60 "$work/$name.log"
    exit 1
  }
  grep -E "number_of_executed_units|peak_rss_mb|new_units_added" "$work/$name.log"
done
