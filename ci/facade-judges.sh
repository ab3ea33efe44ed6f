#!/usr/bin/env bash
# Runs the own tests of published crates that use `metrics-exporter-prometheus`, and those of that crate itself, on the recorder of
# compat/metrics, with compat/metrics/stand-in in its place: 10 minutes for the first build. `ci/facade-judges.sh [CRATE...]` runs some of
# them. ci/judges.sh says what is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
stand_in=$PWD/compat/metrics/stand-in
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/compat/metrics/target}
source ci/judges.sh

# A crate, its version, and the arguments of cargo test. Examples of tokio-metrics all listen at one socket, which ours does not take over
# while another listens. Other tests of actix-web-metrics use no exporter, and compare hashes of keys that versions of `metrics` differ in.
judges=(
  "axum-prometheus 0.10 --tests --lib"
  "metrics-process 2.4 --features metrics-rs"
  "tokio-metrics 0.5 --features metrics-rs-integration -- --test-threads=1"
  "actix-web-metrics 0.4 --test integration_tests -- middleware_http_version"
)

prepare() {
  # tokio-metrics asks for 0.17, whose API it needs is the same.
  sed -i '/^\[dev-dependencies.metrics-exporter-prometheus\]/,/^$/s/^version = .*/version = "0.18"/' "$1/Cargo.toml"
  [ -n "${UNPATCHED:-}" ] || python3 ci/facade_tests.py snapshots "$1"
}

exporter() {
  local crate=metrics-exporter-prometheus version=0.18.3 work=$CARGO_TARGET_DIR/judges/exporter source
  source=$(source_of "$crate" "=$version" "$work/fetch")
  if [ ! -e "$source/Cargo.toml" ]; then
    skipped "$crate $version is not in cargo's registry"
    return
  fi
  python3 ci/facade_tests.py exporter "$source" "$stand_in" "$work/source"
  run_tests "$crate $version" "$work/source"
}

chosen=" $* "
wanted() { [ "$chosen" = "  " ] || [[ "$chosen" == *" $1 "* ]]; }
if wanted metrics-exporter-prometheus; then
  exporter
fi
for line in "${judges[@]}"; do
  read -r -a words <<<"$line"
  if wanted "${words[0]}"; then
    judge metrics-exporter-prometheus 0.18.3 "$stand_in" "${words[@]}"
  fi
done
exit $bad
