#!/usr/bin/env bash
# clang-tidy over src/, with the flags of the release build; warnings are errors.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -f build/release/compile_commands.json ] || cmake --preset release >/dev/null
# clang does not know all of gcc's flags, and ccache is no compiler.
git ls-files 'src/*.cpp' | grep -v json_boost.cpp | xargs -P "$(nproc)" -n 4 clang-tidy-14 -p build/release --quiet --extra-arg=-Wno-unknown-warning-option 2>/dev/null
