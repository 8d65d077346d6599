#!/usr/bin/env bash
# clang-tidy over src/, with the flags of the release build; warnings are errors. `recent`: only files that the last ten commits touched, at most five of them (up to a minute each).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cmake --preset release -B build/tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DFATHOM_UNITY=OFF >/dev/null  # those of gcc are not clang's
files=$(git ls-files 'src/*.cpp' | grep -v -e json_boost.cpp -e unicode_tables.cpp)
if [ "${1:-}" = recent ]; then
  since=$(git rev-list -11 HEAD | tail -1)
  files=$(comm -12 <(echo "$files" | sort) <(git diff --name-only --diff-filter=d "$since" HEAD | sort) | head -5)
fi
[ -n "$files" ] || exit 0
out=$(mktemp)
echo "$files" | xargs -P "$(nproc)" -n 2 clang-tidy-14 -p build/tidy --quiet --extra-arg=-Wno-unknown-warning-option >"$out" 2>/dev/null || { cat "$out"; exit 1; }
rm -f "$out"
echo "clang-tidy: $(echo "$files" | wc -l) files, nothing found"
