#!/usr/bin/env bash
# Every test of the workspace ten times beside four busy loops: 70 minutes on two cores.
#
# A test whose result hangs on scheduling fails here sooner or later. RUNS and LOOPS choose other numbers; the rest are arguments of
# `cargo test`, as in `RUNS=3 bash ci/repeat.sh -p dynamo-metrics-server`. Examples in documents are left out unless asked for
# (`bash ci/repeat.sh --workspace --doc`): compiling them again takes most of a run.
set -euo pipefail
cd "$(dirname "$0")/.."
runs="${RUNS:-10}"
loops="${LOOPS:-4}"
[ "$#" -gt 0 ] || set -- --workspace --lib --bins --tests
folder="$(mktemp -d)"
busy=()
trap 'kill "${busy[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT

cargo test --locked "$@" --no-run
for _ in $(seq "$loops"); do
  (while :; do :; done) &
  busy+=($!)
done
failed=0
for run in $(seq "$runs"); do
  if cargo test --locked --no-fail-fast "$@" >"$folder/$run.log" 2>&1; then
    printf 'run %s of %s: ok (%s s)\n' "$run" "$runs" "$SECONDS"
  else
    failed=$((failed + 1))
    printf 'run %s of %s: FAILED (%s s)\n' "$run" "$runs" "$SECONDS"
    grep -E '^(test .* FAILED|---- .* stdout ----|error: test failed|thread .* panicked)' -A 6 "$folder/$run.log" || tail -n 40 "$folder/$run.log"
  fi
done
echo "$((runs - failed)) of $runs runs passed beside $loops busy loops"
[ "$failed" = 0 ]
