#!/usr/bin/env bash
# Tests and clippy of compat/metrics, axum-prometheus on it included: 15 seconds, and 2 minutes for the first build.
set -euo pipefail
cd "$(dirname "$0")/.."
manifest=compat/metrics/Cargo.toml
cargo clippy --manifest-path "$manifest" --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --manifest-path "$manifest" --no-deps --locked --quiet
cargo test --manifest-path "$manifest" --locked
