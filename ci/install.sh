#!/usr/bin/env bash
# Installs what the tests need besides Rust, and says so: Debian's prometheus (with promtool), a Python virtual
# environment with prometheus_client, openai and fastapi, Go with its expfmt, valgrind, libfaketime, strace,
# cargo-fuzz, and newer judges in .judges/
# (ci/judges/unpack.sh). Does nothing that is done already. About 2 minutes when fresh.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "installing prometheus and promtool (Debian package prometheus)"
    bash ci/debian.sh prometheus curl
  else
    echo "promtool and prometheus are missing and cannot be installed here (needs apt-get and root);" \
      "the tests that need them will fail. Install your system's prometheus package." >&2
  fi
fi

if ! command -v valgrind >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing valgrind (for instruction counts)"
  bash ci/debian.sh valgrind
fi

if ! command -v faketime >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing faketime (steps the wall clock of one process)"
  bash ci/debian.sh faketime
fi

if ! command -v strace >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing strace (makes system calls of one process fail)"
  bash ci/debian.sh strace
fi

if [ ! -e /usr/share/gocode/src/github.com/prometheus/common/expfmt ] || ! command -v go >/dev/null; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "installing Go and its Prometheus libraries (a judge of our expositions)"
    bash ci/debian.sh golang-go golang-github-prometheus-client-golang-dev golang-github-prometheus-common-dev
  else
    echo "Go's expfmt is missing and cannot be installed here (needs apt-get and root)" >&2
  fi
fi

bash ci/judges/unpack.sh

if [ ! -x .venv/bin/python ]; then
  echo "creating a Python virtual environment in .venv"
  python3 -m venv .venv
fi
if ! .venv/bin/python -c 'import prometheus_client' 2>/dev/null; then
  echo "installing prometheus_client into .venv"
  .venv/bin/pip install --quiet 'prometheus_client==0.26.0'
fi

if ! .venv/bin/python -c 'import openai' 2>/dev/null; then
  echo "installing the openai client into .venv (a judge of the frontend's API)"
  .venv/bin/pip install --quiet 'openai==3.57.0'
fi

if ! .venv/bin/python -c 'import maturin, pytest, mypy, hypothesis' 2>/dev/null; then
  echo "installing maturin, pytest, mypy and hypothesis into .venv (for the Python package)"
  .venv/bin/pip install --quiet 'maturin==1.16.0' 'pytest==9.2.0' 'mypy==2.4.1' 'hypothesis==6.170.17'
fi

if ! .venv/bin/python -c 'import fastapi' 2>/dev/null; then
  echo "installing fastapi into .venv (for an example of the Python package)"
  .venv/bin/pip install --quiet 'fastapi==0.165.0'
fi

if [ "${1:-}" != --no-fuzz ] && ! cargo fuzz --version >/dev/null 2>&1; then
  echo "installing cargo-fuzz"
  cargo install --locked --quiet cargo-fuzz
fi
