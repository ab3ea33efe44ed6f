#!/usr/bin/env bash
# Runs the own tests of published crates that use the `prometheus` crate, unmodified, with compat/prometheus in its place: 10 minutes for
# the first build. `ci/swap-judges.sh [CRATE...]` runs some of them. A crate whose source or dependencies cannot be fetched is skipped, and
# said to be; DYNAMO_METRICS_JUDGES=required makes that a failure. Nothing of their sources is kept in this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
compat=$PWD/compat/prometheus
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$compat/target}

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

bad=0
skipped() {
  echo "SKIPPED: $*" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ] || bad=1
}

judge() { # crate, version, arguments of cargo test
  local crate=$1 version=$2 work=$CARGO_TARGET_DIR/judges/$1 source output
  shift 2
  rm -rf "$work"
  mkdir -p "$work/fetch/src"
  touch "$work/fetch/src/lib.rs"
  cat >"$work/fetch/Cargo.toml" <<TOML
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[workspace]
[dependencies]
$crate = "$version"
TOML
  source=$(cargo metadata --format-version 1 --manifest-path "$work/fetch/Cargo.toml" 2>/dev/null | python3 -c '
import json, pathlib, sys
packages = json.load(sys.stdin)["packages"]
print(*[pathlib.Path(p["manifest_path"]).parent for p in packages if p["name"] == sys.argv[1]])' "$crate" || true)
  if [ ! -e "$source/Cargo.toml" ]; then
    skipped "$crate $version is not in cargo's registry"
    return
  fi
  cp -r "$source" "$work/source"
  rm -f "$work/source/Cargo.lock"
  printf '\n[workspace]\n\n[patch.crates-io]\nprometheus = { path = "%s" }\n' "$compat" >>"$work/source/Cargo.toml"
  # prometheus-static-metric was published when its tests used 0.11, whose API they need is the same.
  sed -i '/^\[dev-dependencies.prometheus\]/,/^$/s/^version = .*/version = "0.14"/' "$work/source/Cargo.toml"
  if ! cargo fetch --quiet --manifest-path "$work/source/Cargo.toml" 2>/dev/null; then
    skipped "the dependencies of $crate $version cannot be fetched"
    return
  fi
  # The patch is of no use where the crate asks for another version.
  if ! cargo tree --quiet --manifest-path "$work/source/Cargo.toml" --all-features -i prometheus@0.14.0 2>/dev/null | grep -q "prometheus v0.14.0 ($compat)"; then
    skipped "$crate $version does not use prometheus 0.14"
    return
  fi
  output=$(cargo test --quiet --manifest-path "$work/source/Cargo.toml" "$@" 2>&1) || {
    tail -n 60 <<<"$output"
    echo "FAILED: $crate" >&2
    bad=1
    return
  }
  echo "$crate $version: $(grep -o '[0-9]* passed' <<<"$output" | awk '{n += $1} END {print n + 0}') of its tests pass"
}

for line in "${judges[@]}"; do
  read -r -a words <<<"$line"
  if [ $# = 0 ] || [[ " $* " == *" ${words[0]} "* ]]; then
    judge "${words[@]}"
  fi
done
exit $bad
