#!/usr/bin/env bash
# ThreadSanitizer over the crate `core`: 2 minutes, a quarter of it a build in a target directory of its own. LONG=1: one
# run of 8 writers with 10 million steps each on 160,000 threads, and a million scrapes at least; about an hour on two
# cores, for the night before a release.
# Needs nightly. core/tests/tsan.rs says why that works without an instrumented standard library. The test runs RUNS
# times (default 5) and must be clean; so does its twin with a planted race, which must be reported every time.
set -euo pipefail
cd "$(dirname "$0")/.."
toolchain=${TSAN_TOOLCHAIN:-nightly}
if [[ -n ${LONG:-} ]]; then
  runs=${RUNS:-1} rounds=${TSAN_ROUNDS:-20000} scrapes=${TSAN_SCRAPES:-1000000}
else
  runs=${RUNS:-5} rounds=${TSAN_ROUNDS:-1000} scrapes=${TSAN_SCRAPES:-1000}
fi
target=$(rustc "+$toolchain" -vV | sed -n 's/^host: //p')
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/tsan
export CARGO_TARGET_DIR
export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The last owner of an `Arc` synchronises with the others by a fence, which ThreadSanitizer does not know; std has
# another way for it, but only in a std that was built for it. So what `Arc` frees looks like a race, std's and triomphe's
# alike, and is left out. Everything else is in: the planted race runs under the same rule. What the rule hides: any race
# with what runs in the end of an `Arc`, which is the drop of what it holds. Here that is the end of a series (its cells go
# back under the pool's lock; whether they go back too early is the model in core/tests/loom_series.rs), of a family and of
# a registry. A recording, a lookup and a scrape beside each other are not under it.
printf 'race:%s::Arc<*>::drop_slow\n' alloc::sync triomphe::arc >"$work/suppressions"
export TSAN_OPTIONS="halt_on_error=1 suppressions=$work/suppressions"

tsan() { cargo "+$toolchain" test --quiet --release -p dynamo-metrics-core --target "$target" --test tsan "$@"; }
tsan --no-run

for run in $(seq "$runs"); do
  echo "run $run of $runs"
  TSAN_ROUNDS=$rounds TSAN_SCRAPES=$scrapes tsan
done

for run in $(seq "$runs"); do
  if TSAN_TWIN=1 TSAN_ROUNDS=10 TSAN_SCRAPES=10 tsan >"$work/report" 2>&1 ||
    ! grep -q 'WARNING: ThreadSanitizer: data race' "$work/report" ||
    ! grep -q 'tsan::work\|tsan.rs' "$work/report"; then
    cat "$work/report"
    echo "the planted race was not reported in run $run of $runs" >&2
    exit 1
  fi
done
echo "clean in $runs of $runs runs; the planted race reported in $runs of $runs"
