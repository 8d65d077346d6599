#!/usr/bin/env bash
# web/dist is what web/src makes: builds the page from the lock file, in a folder of its own, and compares.
#   web/check.sh            fails where they differ
#   web/check.sh --write    writes web/dist
# Needs Node >= 20.19 and npm's registry (or its cache). Nothing of the packages is run when they are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

install_packages() {
  local want
  want=$(sha256sum package.json package-lock.json)
  [ -f node_modules/.installed ] && [ "$(cat node_modules/.installed)" = "$want" ] && return
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  echo "$want" > node_modules/.installed
}

install_packages
node_modules/.bin/tsc --noEmit
if [ "${1:-}" = --write ]; then
  node_modules/.bin/vite build --logLevel warn
  echo "web: dist written, $(du -cb dist/*.* dist/assets/* | tail -1 | cut -f1) bytes"
  exit
fi
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
node_modules/.bin/vite build --logLevel warn --outDir "$built" --emptyOutDir
if ! diff -rq "$built" dist; then
  echo "web/check.sh: web/dist is not what web/src makes. Run web/check.sh --write, look at the difference, and commit it." >&2
  exit 1
fi
echo "web: dist is what src makes"
