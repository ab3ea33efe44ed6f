#!/usr/bin/env bash
# The loom models: 2 minutes, most of it a build in a target directory of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom
cargo test --release -p dynamo-metrics-core --test 'loom_*' "$@"
