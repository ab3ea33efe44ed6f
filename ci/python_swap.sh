#!/usr/bin/env bash
# Runs the tests of prometheus_client 0.26.0 on dynamo_metrics.prometheus, unmodified and from its published source: 20 seconds,
# and 1 to 4 minutes more to build the wheel where no interpreter that has it is given: `ci/python_swap.sh [PYTHON]`.
# python/tests/swap_exceptions.txt lists the tests that do not apply; the script fails when a listed one passes, and when another
# fails. Without the source it says so and passes, unless DYNAMO_METRICS_JUDGES=required. Nothing of it is kept in this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

python=${1:-}
if [ -z "$python" ]; then
  .venv/bin/maturin build --quiet --release --manifest-path python/Cargo.toml --out "$work"
  .venv/bin/python -m venv "$work/venv"
  python="$work/venv/bin/python"
  "$python" -m pip install --quiet --no-index --no-deps "$work"/*.whl
  .venv/bin/python -c 'import site; print(site.getsitepackages()[0])' >"$("$python" -c 'import site; print(site.getsitepackages()[0])')/judges.pth"
fi

if ! "$python" -m pip download --quiet --disable-pip-version-check --no-binary :all: --no-deps --dest "$work" 'prometheus_client==0.26.0' >&2 ||
  ! "$python" -m pip install --quiet --disable-pip-version-check --target "$work/site" 'asgiref==3.13.0' >&2; then
  echo "SKIPPED: the tests of prometheus_client: its source, or asgiref, cannot be fetched" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ] || exit 1
  exit 0
fi
mkdir "$work/judge"
# The tests only, so that nothing of the package itself can be imported by mistake.
tar -xzf "$work"/prometheus_client-*.tar.gz -C "$work/judge" --strip-components=1 --wildcards '*/tests/*'
cp ci/python_swap_conftest.py "$work/judge/conftest.py"
cd "$work/judge"
EXCEPTIONS="$root/python/tests/swap_exceptions.txt" PYTHONPATH="$work/site" "$python" -m pytest -q -p no:cacheprovider tests
