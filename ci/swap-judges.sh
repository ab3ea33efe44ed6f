#!/usr/bin/env bash
# Runs the own tests of published crates that use the `prometheus` crate, unmodified, with compat/prometheus in its place: 10 minutes for
# the first build. `ci/swap-judges.sh [CRATE...]` runs some of them. A crate whose source or dependencies cannot be fetched is skipped, and
# said to be; DYNAMO_METRICS_JUDGES=required makes that a failure. Nothing of their sources is kept in this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
compat=$PWD/compat/prometheus
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$compat/target}
source ci/judges.sh

# A crate, its version, and the arguments of cargo test. `compile_fail` compares messages of the compiler, which have paths in them.
judges=(
  "prometheus-static-metric 0.5 --tests"
  "prometheus-metric-storage 0.6 --tests -- --skip compile_fail"
  "prometheus-hyper 0.2 --tests --lib"
  "opentelemetry-prometheus 0.33 --tests --lib"
  "actix-web-prom 0.10 --tests --lib"
  "rocket_prometheus 0.11 --tests --lib"
  "cdk-prometheus 0.18 --tests --lib --no-default-features"
  "mixtrics 0.2 --tests --lib --features prometheus"
  "prometheus_push 0.4 --tests --lib --features prometheus_crate,with_reqwest,with_reqwest_blocking"
  "tonic_prometheus_layer 0.3 --tests --lib"
  "metrics-prometheus 0.11 --doc"
)

prepare() {
  # prometheus-static-metric was published when its tests used 0.11, whose API they need is the same.
  sed -i '/^\[dev-dependencies.prometheus\]/,/^$/s/^version = .*/version = "0.14"/' "$1/Cargo.toml"
}

for line in "${judges[@]}"; do
  read -r -a words <<<"$line"
  if [ $# = 0 ] || [[ " $* " == *" ${words[0]} "* ]]; then
    judge prometheus 0.14.0 "$compat" "${words[@]}"
  fi
done
exit $bad
