#!/usr/bin/env bash
# Every test: 20 minutes on two cores from a fresh clone, some 12 where all is built. Installs what is missing first, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf "\n== %s (after %d:%02d)\n" "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

# Lines of backtraces need no more, and it takes a fifth less to build.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_PROFILE_TEST_DEBUG=line-tables-only
# As tests are built, and in one folder: so the workspaces of python/ and compat/ share what they depend on with this one.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

# Starts a command beside the next steps, in a process group of its own: `$!` is its number.
start() { set -m; "$@" & set +m; }
# A step that fails ends what runs beside it.
trap 'for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done' EXIT

step "tools and the program, beside the next steps, which need neither"
mkdir -p target
start bash ci/install.sh >target/install.log 2>&1
tools=$!
# The end of this build, link-time optimisation, keeps one core busy for more than a minute.
start cargo build --release --locked -p dynamo-metrics-cli >target/program.log 2>&1
program=$!

step "formatting"
cargo fmt --all -- --check
cargo fmt --manifest-path fuzz/Cargo.toml -- --check
cargo fmt --manifest-path python/Cargo.toml -- --check
cargo fmt --manifest-path compat/prometheus/Cargo.toml --all -- --check
for example in patch rename beside migrate; do
  cargo fmt --manifest-path "compat/examples/$example/Cargo.toml" -- --check
done
cargo fmt --manifest-path compat/metrics/Cargo.toml --all -- --check

step "clippy, warnings denied"
cargo clippy --workspace --all-targets --features dynamo-metrics-benches/attack --locked -- -D warnings
# As a program that embeds them has these two.
cargo clippy -p dynamo-metrics-server -p dynamo-metrics-exporter --no-default-features --locked -- -D warnings

step "versions of Rust that the crates state"
python3 ci/msrv.py

step "packages, as they would be published (bash ci/package.sh builds each from its package)"
bash ci/package.sh --no-verify --allow-dirty >target/package.log 2>&1 || { cat target/package.log; exit 1; }

step "documentation, warnings denied"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

step "tools and the program: what was done"
wait "$tools" || { cat target/install.log; exit 1; }
wait "$program" || { cat target/program.log; exit 1; }
cat target/install.log
# With the tools installed, a test that would skip for want of one fails instead.
export DYNAMO_METRICS_JUDGES=required
export PATH="$PWD/.venv/bin:$PATH"

step "unit, property, allocation, stress, document and end-to-end tests, and each bench once"
cargo test --workspace --locked --no-run
# What the program leaves out unless it is asked for: zstd, and OpenMetrics 2.0 as long as it is a release candidate.
features=(-p dynamo-metrics-encoder -p dynamo-metrics-server --locked --lib --test it --test alloc
  --features "dynamo-metrics-encoder/openmetrics2,dynamo-metrics-server/auth,dynamo-metrics-server/zstd")
# Tests mostly wait, and so do some of the steps behind them. What those need is built beside them, and the Python package is tested
# there. A build that fails there fails again in its own step.
beside() {
  set +e
  cargo test "${features[@]}" --no-run
  bash ci/loom.sh --no-run
  RUNS=0 bash ci/tsan.sh
  # Tested, not measured: optimised as the other tests are.
  MATURIN_PROFILE=dev bash ci/python.sh >target/python.log 2>&1 && touch target/python.passed
  cargo test --locked --workspace --manifest-path compat/prometheus/Cargo.toml --no-run
  env -u CARGO_TARGET_DIR bash ci/fuzz.sh --build
}
rm -f target/python.passed
start beside >target/beside.log 2>&1
beside=$!
renice -n 10 -g "$beside" >/dev/null
cargo test --workspace --locked
cargo test "${features[@]}"

step "loom models"
bash ci/loom.sh

step "Miri, or what of it there is"
bash ci/miri.sh

step "ThreadSanitizer, short"
RUNS=2 bash ci/tsan.sh

step "the live page, without a browser (bash ci/dashboard.sh has one)"
bash ci/dashboard.sh --short

# Counts of instructions are the same whatever runs beside them, and the next step mostly waits, for alerts.
start nice bash ci/instructions.sh >target/instructions.log 2>&1
instructions=$!

step "deploy: rules, dashboards, and faults at a real Alertmanager, short"
LOADED=1 bash deploy/check.sh --short

step "the Python package, from its wheel: what was done beside the other steps"
wait "$beside" || true
cat target/python.log
[ -e target/python.passed ]

step "compat: the APIs of the crates prometheus and metrics"
cargo test --quiet --locked --workspace --manifest-path compat/prometheus/Cargo.toml
bash ci/swap.sh
bash ci/facade.sh

step "instructions of each recording: what was counted"
wait "$instructions" || { cat target/instructions.log; exit 1; }
cat target/instructions.log

step "soak, short"
SOAK_SECONDS="${SOAK_SECONDS:-30}" SOAK_SAMPLE="${SOAK_SAMPLE:-2}" bash ci/soak.sh

step "fuzzing, short"
SECONDS_EACH="${SECONDS_EACH:-10}" env -u CARGO_TARGET_DIR bash ci/fuzz.sh

echo
echo "all green"
