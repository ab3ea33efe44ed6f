#!/usr/bin/env bash
# The checks to run before a commit: formatting, clippy, unit and document tests. Under 3 minutes when warm.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all -- --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo test --workspace --locked --lib --bins
cargo test --workspace --locked --doc
