#!/usr/bin/env bash
# 1,000 random JSON schemas: texts that their grammars allow, validated by ajv (npm; versions of package-lock.json).
#     tests/clients/schemas/check.sh [BUILD_FOLDER] [SCHEMAS] [SEED]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "${1:-$here/../../../build/release}" && pwd)
cmake --build "$build" --target schema_samples >/dev/null
cd "$here"
npm ci --silent
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
"$build/schema_samples" "${2:-1000}" "${3:-1}" >"$lines" 2>"$lines.err" || { cat "$lines.err"; exit 1; }
tail -1 "$lines.err"
rm -f "$lines.err"
node validate.mjs <"$lines"
