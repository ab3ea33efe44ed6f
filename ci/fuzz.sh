#!/usr/bin/env bash
# Each fuzz target for SECONDS_EACH (default 10), after a build of about 1 minute. Needs nightly and cargo-fuzz.
# `--build` builds only.
# A crash leaves its input in fuzz/artifacts/TARGET; put it into fuzz/regressions/TARGET when it is fixed.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-10}
toolchain=${FUZZ_TOOLCHAIN:-nightly}
targets=$(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml)
# An input of a target that was renamed would never run again.
for folder in fuzz/corpus/*/ fuzz/regressions/*/; do
  grep -qx "$(basename "$folder")" <<< "$targets" || { echo "$folder: fuzz/Cargo.toml has no such target" >&2; exit 1; }
done
if [ "${1:-}" = --build ]; then
  cargo "+$toolchain" fuzz build -s none
  exit
fi
run() { # target, arguments of libFuzzer
  local target=$1
  shift
  cargo "+$toolchain" fuzz run -s none "$target" "$@" -timeout=10 -rss_limit_mb=8192 -verbosity=0
}
fuzz() { # target, a folder for what is found, so that a run leaves the repository as it was
  local corpus=("fuzz/corpus/$1" "fuzz/regressions/$1")
  mkdir -p "$2" "${corpus[@]}"
  # First the inputs that once crashed, and the seeds: a fixed bug that is back fails here at once.
  run "$1" "${corpus[@]}" -- -runs=0 &&
    run "$1" "$2" "${corpus[@]}" -- -max_total_time="$seconds" -max_len=4096 -print_final_stats=1
}

# One on each processor.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in $targets; do
  echo "fuzzing $target for $seconds s"
  (fuzz "$target" "$work/found/$target" >"$work/$target" 2>&1 || echo "$target" >>"$work/failed") &
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done
done
wait
for target in $targets; do
  grep -E '^(stat::number_of_executed_units|Done)' "$work/$target" | sed "s/^/$target: /" || true
done
[ -e "$work/failed" ] || exit 0
while read -r target; do cat "$work/$target"; echo "$target: FAILED" >&2; done <"$work/failed"
exit 1
