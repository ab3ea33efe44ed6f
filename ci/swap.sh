#!/usr/bin/env bash
# Runs the unit tests of the public API of the `prometheus` crate 0.14.0 on compat/prometheus, unmodified and from its published
# source, and the programs of compat/examples: 3 minutes, and as much again for the first build. Needs the crate in cargo's registry,
# which `cargo fetch` puts there; without it this says so and passes, unless DYNAMO_METRICS_JUDGES=required. Nothing of that source
# is kept in this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
compat=$PWD/compat/prometheus
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$compat/target}

if ! cargo fetch --locked --quiet --manifest-path "$compat/Cargo.toml"; then
  echo "the dependencies of compat/prometheus cannot be fetched" >&2
fi
source=$(cargo metadata --locked --offline --format-version 1 --manifest-path "$compat/Cargo.toml" 2>/dev/null | python3 -c '
import json, pathlib, sys
packages = json.load(sys.stdin)["packages"]
print(*[pathlib.Path(p["manifest_path"]).parent for p in packages if p["name"] == "prometheus" and p["source"]])' || true)
if [ ! -e "$source/src/lib.rs" ]; then
  echo "SKIPPED: the published source of prometheus 0.14.0 is not in cargo's registry" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ] || exit 1
  exit 0
fi

judge=$CARGO_TARGET_DIR/upstream-tests
python3 ci/swap_tests.py "$source/src" "$compat" "$judge"
cp "$compat/Cargo.lock" "$judge/Cargo.lock"
run() { # what to expect, arguments of cargo test
  local expected=$1 output
  shift
  output=$(cargo test --quiet --manifest-path "$judge/Cargo.toml" "$@" 2>&1) || { echo "$output"; return 1; }
  if ! grep -q "test result: ok. $expected passed" <<<"$output"; then
    echo "$output"
    echo "not $expected tests passed: cargo test $*" >&2
    return 1
  fi
  echo "$expected tests of prometheus 0.14.0 pass: $*"
}
run 78 --lib

# The three ways in, each a program that checks its own page, and the rows of the migration tables.
for way in patch rename beside; do
  cargo run --quiet --locked --manifest-path "compat/examples/$way/Cargo.toml" >/dev/null
  echo "compat/examples/$way shows its page"
done
cargo test --quiet --locked --manifest-path compat/examples/migrate/Cargo.toml
