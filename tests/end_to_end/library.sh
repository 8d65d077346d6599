#!/usr/bin/env bash
# A program outside the tree: the library is installed, found by find_package, linked, and writes what `fathom generate` writes. Where the package does not fit, it is not
# found, and says why.
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
# The program has headers of its own, by the names that ours have in the tree.
(cd "$dir/prefix/include/fathom" && find . -name '*.h' -type f) >"$dir/headers"
[ -s "$dir/headers" ] || fail "no headers are installed"
while read -r header; do
  mkdir -p "$dir/own/$(dirname "$header")"
  echo "#error $header is not fathom's" >"$dir/own/$header"
done <"$dir/headers"
cp -r "$root/examples/library" "$dir/example"
cmake -G Ninja -S "$dir/example" -B "$dir/build" -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_CXX_COMPILER="$(cached CMAKE_CXX_COMPILER)" \
  -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror -I$dir/own" >"$dir/log" 2>&1 || fail "find_package(fathom) failed"
cmake --build "$dir/build" >"$dir/log" 2>&1 || fail "the example does not build"

model=$root/models/bundled.gguf
"$dir/build/write_text" "$model" "The king said" 20 >"$dir/example.txt" 2>"$dir/log" || fail "the example does not run"
"$fathom" generate -m "$model" -p "The king said" -n 20 --temperature 0 -q >"$dir/fathom.txt" 2>"$dir/log" || fail "generate does not run"
cmp -s "$dir/example.txt" "$dir/fathom.txt" || fail "the texts differ: $(cat "$dir/example.txt" "$dir/fathom.txt")"

code=0; "$dir/build/write_text" "$dir/nowhere" a >"$dir/out" 2>"$dir/log" || code=$?
[ "$code" = 2 ] && grep -q "nowhere" "$dir/log" || fail "a model that is not there: exit code $code"
# not_found REASON ARGUMENT...: an optional find_package(fathom) with these arguments of cmake goes on without it.
mkdir "$dir/optional"
cat >"$dir/optional/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.22)
project(optional LANGUAGES CXX)
find_package(fathom QUIET)
message("found: ${fathom_FOUND}, reason: ${fathom_NOT_FOUND_MESSAGE}")
END
not_found() {
  local reason=$1; shift
  rm -rf "$dir/optional/build"
  cmake -G Ninja -S "$dir/optional" -B "$dir/optional/build" -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_CXX_COMPILER="$(cached CMAKE_CXX_COMPILER)" "$@" >"$dir/log" 2>&1 ||
    fail "an optional find_package(fathom) ends the program's configuration: $reason"
  grep -Eq "found: (0|FALSE), reason: .*$reason" "$dir/log" || fail "not refused: $reason"
}
# package NAME VERSION TARGET: another of that name, in a folder that NAME_DIR may be set to.
package() {
  mkdir -p "$dir/$1"
  printf 'add_library(%s INTERFACE IMPORTED)\nset(%s_VERSION_STRING %s)\n' "$3" "$1" "$2" >"$dir/$1/$1Config.cmake"
  printf 'set(PACKAGE_VERSION %s)\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n' "$2" >"$dir/$1/$1ConfigVersion.cmake"
}
package Boost 1.75.1 Boost::headers
package fmt 3.0.2 fmt::fmt
PKG_CONFIG_LIBDIR="$dir/nowhere" PKG_CONFIG_PATH= not_found "libxxhash, which pkg-config does not find"
not_found "built with Boost [0-9.]+ .* found Boost 1.75.1" -DBoost_DIR="$dir/Boost"
not_found "built with fmt [0-9.]+ .* found fmt 3.0.2" -Dfmt_DIR="$dir/fmt"
echo "library.sh: all passed"
