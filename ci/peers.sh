#!/usr/bin/env bash
# Clippy and tests of the programs that measure us beside others (versus, attack, compression): 3 minutes, most of them a build of
# the crates that they compare us with.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo clippy -p dynamo-metrics-benches --all-targets --all-features --locked -- -D warnings
cargo test -p dynamo-metrics-benches --all-features --locked
