#!/usr/bin/env bash
# The unit tests of the rooms of `core` that have `unsafe` code or stand right on them, under Miri: with zeroed memory of the
# system's allocator in place of mappings (core/src/shard/memory.rs). Needs nightly with the component `miri`. Without it this
# says so, checks that the code compiles as Miri would compile it, and passes; MIRI=required fails instead.
set -euo pipefail
cd "$(dirname "$0")/.."
toolchain=${MIRI_TOOLCHAIN:-nightly}
if ! cargo "+$toolchain" miri --version >/dev/null 2>&1; then
  if [ "${MIRI:-}" = required ]; then
    echo "MIRI=required, but $toolchain has no Miri: rustup component add miri --toolchain $toolchain" >&2
    exit 1
  fi
  echo "SKIPPED: $toolchain has no Miri (rustup component add miri --toolchain $toolchain); only compiled with cfg(miri)" >&2
  RUSTFLAGS="--cfg miri" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/miri \
    cargo check --locked --quiet -p dynamo-metrics-core --lib --profile test
  exit
fi
# Shards live as long as the process, and the tests' own lists of them are leaked.
export MIRIFLAGS="-Zmiri-ignore-leaks ${MIRIFLAGS:-}"
cargo "+$toolchain" miri test --locked -p dynamo-metrics-core --lib -- shard:: arena:: series:: "$@"
