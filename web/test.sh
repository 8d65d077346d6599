#!/usr/bin/env bash
# All tests of the chat page: that web/dist is what web/src makes, units, and the page in Chromium.
#   web/test.sh [PATTERN]     PATTERN picks browser tests by name
#   FATHOM_PAGE_URL=http://127.0.0.1:8080/ web/test.sh     the browser tests that any server can pass, against that server
#   FATHOM_PAGE_KEY           an API key for it
#   FATHOM_PAGE_SHOTS=DIR     keeps the pictures there
# Needs Node >= 20.19, npm's registry, and Debian's chromium (apt-get install chromium; CHROMIUM names another).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v "${CHROMIUM:-/usr/bin/chromium}" >/dev/null || { echo "web/test.sh: there is no Chromium. Try: apt-get install -y chromium" >&2; exit 2; }
./check.sh
node_modules/.bin/vitest run --reporter=dot
node --test --test-reporter=spec --test-concurrency=1 ${1:+--test-name-pattern="$1"} test/browser/*.test.mjs
