#!/usr/bin/env bash
# Every test: 15 to 25 minutes on two cores from a fresh clone. Installs what is missing first, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }

step "tools"
bash ci/install.sh
# With the tools installed, a test that would skip for want of one fails instead.
export DYNAMO_METRICS_JUDGES=required
export PATH="$PWD/.venv/bin:$PATH"

step "formatting"
cargo fmt --all -- --check
cargo fmt --manifest-path fuzz/Cargo.toml -- --check

step "clippy, warnings denied"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "documentation, warnings denied"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

step "unit, property, allocation, stress, document and end-to-end tests"
cargo build --release --locked -p dynamo-metrics-cli
cargo test --workspace --locked
# OpenMetrics 2.0 is a feature, as long as it is a release candidate.
cargo test --locked -p dynamo-metrics-encoder --features openmetrics2 --lib --test kinds --test openmetrics \
  --test alloc --test negotiate --test negotiate_properties
cargo test -p dynamo-metrics-server --features zstd --locked --lib --test compression --test alloc --test web
cargo test -p dynamo-metrics-server --features tls --locked --lib --test web --test tls --test tls_life

step "loom models"
bash ci/loom.sh

step "ThreadSanitizer, short"
RUNS=2 bash ci/tsan.sh

step "benches, each once"
cargo bench --workspace --no-run --locked --no-default-features
cargo bench -p dynamo-metrics-benches --locked --no-default-features --benches -- --test

step "soak, short"
SOAK_SECONDS="${SOAK_SECONDS:-30}" SOAK_SAMPLE="${SOAK_SAMPLE:-2}" bash ci/soak.sh

step "instructions of each recording"
bash ci/instructions.sh

step "fuzzing, short"
SECONDS_EACH="${SECONDS_EACH:-10}" bash ci/fuzz.sh

echo
echo "all green"
