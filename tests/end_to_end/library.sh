#!/usr/bin/env bash
# A program outside the tree: the library is installed, found by find_package, linked, and writes what `fathom generate` writes.
#   library.sh BUILD/fathom       the library of the same build folder must be built
set -euo pipefail
fathom=$1
build=$(cd "$(dirname "$fathom")" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { printf 'library.sh: %s\n' "$1" >&2; tail -30 "$dir/log" >&2; exit 1; }
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

cmake --install "$build" --component library --prefix "$dir/prefix" >"$dir/log" 2>&1 || fail "cmake --install failed"
cp -r "$root/examples/library" "$dir/example"
cmake -G Ninja -S "$dir/example" -B "$dir/build" -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_CXX_COMPILER="$(cached CMAKE_CXX_COMPILER)" \
  -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" >"$dir/log" 2>&1 || fail "find_package(fathom) failed"
cmake --build "$dir/build" >"$dir/log" 2>&1 || fail "the example does not build"

model=$root/models/bundled.gguf
"$dir/build/write_text" "$model" "The king said" 20 >"$dir/example.txt" 2>"$dir/log" || fail "the example does not run"
"$fathom" generate -m "$model" -p "The king said" -n 20 --temperature 0 --arithmetic exact -q >"$dir/fathom.txt" 2>"$dir/log" || fail "generate does not run"
cmp -s "$dir/example.txt" "$dir/fathom.txt" || fail "the texts differ: $(cat "$dir/example.txt" "$dir/fathom.txt")"

code=0; "$dir/build/write_text" "$dir/nowhere" a >"$dir/out" 2>"$dir/log" || code=$?
[ "$code" = 2 ] && grep -q "nowhere" "$dir/log" || fail "a model that is not there: exit code $code"
echo "library.sh: all passed"
