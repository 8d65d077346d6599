#!/usr/bin/env bash
# Installs what building (and, with `test`, testing; with `clients`, testing with clients from npm and PyPI) fathom needs, on Debian 12+ or Ubuntu 24.04+. Does nothing when all of it is there.
# Where it may not install, it prints the exact line to run.
set -euo pipefail

packages=(g++ cmake ninja-build libcli11-dev libfmt-dev libedit-dev libtomlplusplus-dev libcairo2-dev zlib1g-dev libzstd-dev libxxhash-dev libssl-dev libcurl4-openssl-dev libspdlog-dev prometheus-cpp-dev pkgconf libgtest-dev libbenchmark-dev)
[ "${1:-}" = test ] && packages+=(clang-14 lld-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev python3 ccache xz-utils)
if [ "${1:-}" = clients ]; then
  packages+=(python3-venv nginx-light haproxy chromium)
  command -v npm >/dev/null || packages+=(nodejs npm)  # Node's own package brings npm along, and Debian's would conflict with it
fi

installed() { [ "$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null)" = "install ok installed" ]; }

if ! command -v dpkg-query >/dev/null; then
  echo "setup: this is not a Debian or Ubuntu system. Install a C++20 compiler, CMake >= 3.22, Ninja, Boost >= 1.75 (headers), CLI11, fmt," >&2
  echo "setup: libedit, cairo, zlib, libzstd, libxxhash, OpenSSL 3, libcurl, spdlog, prometheus-cpp, GoogleTest and Google Benchmark with your package manager; then: cmake --preset release && cmake --build --preset release" >&2
  exit 2
fi

missing=()
for p in "${packages[@]}"; do installed "$p" || missing+=("$p"); done
# Any Boost with JSON will do; distributions name the package by version.
boost=""
for p in libboost1.81-dev libboost1.83-dev libboost1.88-dev libboost1.90-dev; do installed "$p" && boost=$p; done
need_boost=$([ -z "$boost" ] && echo yes || echo no)

[ ${#missing[@]} -eq 0 ] && [ "$need_boost" = no ] && exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
  if sudo -n true 2>/dev/null; then sudo="sudo"; else sudo="ask"; fi
fi
if [ "$sudo" = ask ]; then
  [ "$need_boost" = yes ] && missing+=("libboost1.81-dev   # or libboost1.83-dev, whichever your release has")
  echo "setup: these packages are missing and this user may not install them. Run:" >&2
  echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 2
fi

boost_note=$([ "$need_boost" = yes ] && echo " and Boost's headers (libboost1.81-dev or the release's own)" || true)
echo "setup: with apt-get, these packages and what they need will be installed: ${missing[*]}$boost_note" >&2
echo "setup: fetching the package lists ..." >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
$sudo apt-get update >"$log" 2>&1 || { cat "$log" >&2; echo "setup: apt-get update failed; is the network there?" >&2; exit 2; }
available() { [ -n "$(apt-cache policy "$1" | sed -n 's/^ *Candidate: *\([^(].*\)/\1/p')" ]; }
if [ "$need_boost" = yes ]; then
  for p in libboost1.81-dev libboost1.83-dev libboost1.88-dev libboost1.90-dev; do
    if available "$p"; then missing+=("$p"); break; fi
  done
fi
echo "setup: installing ${#missing[@]} packages (a minute or two) ..." >&2
$sudo apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
  { tail -20 "$log" >&2; echo "setup: apt-get could not install: ${missing[*]}" >&2; exit 2; }
rm -f "$log"
