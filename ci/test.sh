#!/usr/bin/env bash
# Every test: 30 to 43 minutes on two cores from a fresh clone, 12 where all is built. Installs what is missing first, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf "\n== %s (after %d:%02d)\n" "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

# Lines of backtraces need no more, and it takes a fifth less to build.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_PROFILE_TEST_DEBUG=line-tables-only

# A step that fails ends what runs beside it.
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

step "tools and the program, beside the next steps, which need neither"
mkdir -p target
bash ci/install.sh >target/install.log 2>&1 &
tools=$!
# The end of this build, link-time optimisation, keeps one core busy for more than a minute.
cargo build --release --locked -p dynamo-metrics-cli >target/program.log 2>&1 &
program=$!

step "formatting"
cargo fmt --all -- --check
cargo fmt --manifest-path fuzz/Cargo.toml -- --check
cargo fmt --manifest-path python/Cargo.toml -- --check
cargo fmt --manifest-path compat/prometheus/Cargo.toml --all -- --check
for example in patch rename beside migrate; do
  cargo fmt --manifest-path "compat/examples/$example/Cargo.toml" -- --check
done
cargo fmt --manifest-path compat/metrics/Cargo.toml -- --check

step "clippy, warnings denied"
cargo clippy --workspace --all-targets --locked -- -D warnings
# As a program that embeds them has these two.
cargo clippy -p dynamo-metrics-server -p dynamo-metrics-exporter --no-default-features --locked -- -D warnings

step "versions of Rust that the crates state"
python3 ci/msrv.py

step "documentation, warnings denied"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

step "tools and the program: what was done"
wait "$tools" || { cat target/install.log; exit 1; }
wait "$program" || { cat target/program.log; exit 1; }
cat target/install.log
# With the tools installed, a test that would skip for want of one fails instead.
export DYNAMO_METRICS_JUDGES=required
export PATH="$PWD/.venv/bin:$PATH"

step "unit, property, allocation, stress, document and end-to-end tests"
cargo test --workspace --locked
# What the program leaves out unless it is asked for: zstd, and OpenMetrics 2.0 as long as it is a release candidate.
cargo test -p dynamo-metrics-encoder -p dynamo-metrics-server --locked --lib --test it --test alloc \
  --features dynamo-metrics-encoder/openmetrics2,dynamo-metrics-server/auth,dynamo-metrics-server/zstd

step "loom models"
bash ci/loom.sh

step "Miri, or what of it there is"
bash ci/miri.sh

step "ThreadSanitizer, short"
RUNS=2 bash ci/tsan.sh

step "benches, each once"
# Without link-time optimisation, which takes most of a build: nothing is measured here.
export CARGO_PROFILE_BENCH_LTO=off CARGO_PROFILE_BENCH_CODEGEN_UNITS=16
cargo bench -p dynamo-metrics-benches --locked --no-default-features --benches -- --test
unset CARGO_PROFILE_BENCH_LTO CARGO_PROFILE_BENCH_CODEGEN_UNITS

step "the live page, without a browser (bash ci/dashboard.sh has one)"
bash ci/dashboard.sh --short

# One folder of results, since the workspaces below compat/ share most of their dependencies.
compat() {
  CARGO_TARGET_DIR="$PWD/target/compat" CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0 "$@"
}
# Most of the next step is waiting for alerts; a failure of this build shows in its own step.
compat nice cargo test --quiet --locked --workspace --manifest-path compat/prometheus/Cargo.toml --no-run >target/compat.log 2>&1 &
built=$!

step "deploy: rules, dashboards, and faults at a real Alertmanager, short"
LOADED=1 bash deploy/check.sh --short
wait "$built" || true

step "the Python package, from its wheel"
# Tested, not measured: without link-time optimisation, which takes minutes.
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 bash ci/python.sh

step "compat: the APIs of the crates prometheus and metrics"
compat cargo test --quiet --locked --workspace --manifest-path compat/prometheus/Cargo.toml
compat bash ci/swap.sh
compat bash ci/facade.sh

step "soak, short"
SOAK_SECONDS="${SOAK_SECONDS:-30}" SOAK_SAMPLE="${SOAK_SAMPLE:-2}" bash ci/soak.sh

step "instructions of each recording"
bash ci/instructions.sh

step "fuzzing, short"
SECONDS_EACH="${SECONDS_EACH:-10}" bash ci/fuzz.sh

echo
echo "all green"
