#!/usr/bin/env bash
# The loom models, of the crate's own code: some minutes, most of them a build in a target directory of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom
cargo test --release -p dynamo-metrics-core --test 'loom_*' "$@"
