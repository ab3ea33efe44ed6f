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
for target in $targets; do
  echo "fuzzing $target for $seconds s"
  mkdir -p "fuzz/corpus/$target" "fuzz/regressions/$target"
  # First the inputs that once crashed, and the seeds: a fixed bug that is back fails here at once.
  cargo "+$toolchain" fuzz run -s none "$target" "fuzz/regressions/$target" "fuzz/corpus/$target" -- \
    -runs=0 -timeout=10 -rss_limit_mb=8192 -verbosity=0
  # What is found goes to a directory of its own, so that a run leaves the repository as it was.
  found=$(mktemp -d)
  cargo "+$toolchain" fuzz run -s none "$target" "$found" "fuzz/corpus/$target" "fuzz/regressions/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=8192 -verbosity=0 -print_final_stats=1
  rm -rf "$found"
done
