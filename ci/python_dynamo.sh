#!/usr/bin/env bash
# Runs python/tests/test_dynamo.py, a worker in Dynamo's own runtime 0.9.0 from PyPI with etcd on loopback: 20 seconds, and 1 to 4
# minutes more to build the wheel where no interpreter that has it is given: `ci/python_dynamo.sh [PYTHON]`. Installs Debian's
# etcd-server where it can. Without either it says so and passes, unless DYNAMO_METRICS_JUDGES=required.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

skip() {
  echo "SKIPPED: the worker in Dynamo's own runtime: $1" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ] || exit 1
  exit 0
}

if ! command -v etcd >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing etcd (Debian package etcd-server)"
  bash ci/debian.sh etcd-server || true
fi
command -v etcd >/dev/null || skip "etcd is not installed; install the Debian package etcd-server"

python=${1:-}
if [ -z "$python" ]; then
  .venv/bin/maturin build --quiet --release --manifest-path python/Cargo.toml --out "$work"
  .venv/bin/python -m venv "$work/venv"
  python="$work/venv/bin/python"
  "$python" -m pip install --quiet --no-index --no-deps "$work"/*.whl
  .venv/bin/python -c 'import site; print(site.getsitepackages()[0])' >"$("$python" -c 'import site; print(site.getsitepackages()[0])')/judges.pth"
fi

# Of its dependencies it imports pydantic alone; the worker needs no uvloop.
pip=("$python" -m pip install --quiet --disable-pip-version-check --target "$work/site")
if ! "${pip[@]}" --no-deps 'ai-dynamo-runtime==0.9.0' >&2 || ! "${pip[@]}" 'pydantic==2.12.5' >&2; then
  skip "the package ai-dynamo-runtime, or pydantic, does not install"
fi
export PYTHONPATH="$work/site"
"$python" -c 'import dynamo.runtime' || skip "the package ai-dynamo-runtime does not import"

# From a folder without the sources, so that the installed package is tested.
cp -r "$root/python/tests" "$root/python/examples" "$root/python/pyproject.toml" "$work/"
cd "$work"
"$python" -m pytest -q -p no:cacheprovider tests/test_dynamo.py
