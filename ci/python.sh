#!/usr/bin/env bash
# Builds the wheel of the Python package and tests it, its stubs and its documents: 1 to 5 minutes by what is built.
# Then runs the tests of prometheus_client on it (ci/python_swap.sh), and a worker in Dynamo's own runtime (ci/python_dynamo.sh).
# Needs .venv (ci/install.sh). The wheel is installed into a fresh virtual environment beside it. MATURIN_PROFILE=dev builds a wheel that
# is slower and sooner there; DYNAMO_METRICS_LONG=1 lets a million series of each kind come and go instead of 100,000.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
tools="$PWD/.venv/bin"
if [ ! -x "$tools/maturin" ]; then
  echo "SKIPPED: the Python package: .venv has no maturin; bash ci/install.sh installs it" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ] || exit 1
  exit 0
fi

# Without --locked: the crates of this repository may have new dependencies, which the lock file of python/ learns here.
# In the folder of the other crates' results, most of which it shares.
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}" cargo clippy --manifest-path python/Cargo.toml -- -D warnings

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$tools/maturin" build --quiet --profile "${MATURIN_PROFILE:-release}" --manifest-path python/Cargo.toml --out "$work"
"$tools/python" -m venv "$work/venv"
# The judges are those of .venv; only the wheel is installed here.
"$tools/python" -c 'import site; print(site.getsitepackages()[0])' >"$("$work/venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/judges.pth"
"$work/venv/bin/pip" install --quiet --no-index --no-deps "$work"/*.whl

python="$work/venv/bin/python"
# From a folder without the sources, so that the installed package is tested.
cp -r python/tests python/examples python/README.md python/pyproject.toml "$work/"
cd "$work"
"$python" -m pytest -q -p no:cacheprovider tests
"$python" -m doctest README.md
"$python" -c '
import doctest, dynamo_metrics, dynamo_metrics.prometheus as swap, dynamo_metrics.prometheus.text as text
for module in (dynamo_metrics, swap, swap.metrics, swap.multiprocess, text):
    assert doctest.testmod(module).failed == 0'
"$python" -m mypy --strict -p dynamo_metrics
"$python" -m mypy --strict tests examples
"$python" -m mypy.stubtest dynamo_metrics._native
bash "$root/ci/python_swap.sh" "$python"
bash "$root/ci/python_dynamo.sh" "$python"
