#!/usr/bin/env bash
# Mutation tests of the encoder and the parser, 2 to 6 seconds a mutant on one core: 1 hour for what writes (the default),
# 2 more for `passthrough/*` and `parser/*`. Needs cargo-mutants, and says so; installs nothing.
#
#   ci/mutants.sh                          src/{number,integer,...}.rs, text/, protobuf/
#   ci/mutants.sh number text/mod          these files of encoder/src only
#   SHARD=0/8 ci/mutants.sh parser/line    every eighth mutant of parser/src/line.rs
#
# A mutant is one small change: `+` for `-`, a function that returns 0. "caught": a test failed, as it should.
# "MISSED": all tests passed, so either a test is missing, or the change changes no output. Those of the second kind are in
# ci/mutants.txt, with the reason and without their line; only others are listed at the end, and then this ends with 1.
# "timeout" counts as caught: a loop that does not end.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
command -v cargo-mutants >/dev/null || {
  echo "cargo-mutants is not installed; cargo install cargo-mutants --locked --version 27.1.0" >&2
  exit 1
}
writers="number integer text/mod text/form text/dialect text/extras text/openmetrics2 protobuf/mod protobuf/wire
  protobuf/form protobuf/messages protobuf/native layout native escape encoder negotiate name_filter cursor"
root=$PWD
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | tar --null -T - --ignore-failed-read -cf - | tar x -C "$copy"
cd "$copy"
# Nothing but time is changed here: no debug information, and one test program that leaves out the live judges, which
# take seconds, and the counting of allocations, which needs a process of its own.
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_TEST_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=0
export PROPTEST_CASES=${PROPTEST_CASES:-32} CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/mutants
sed -i 's/^license.workspace = true/&\nautotests = false/; s/^\[features\]/[[test]]\nname = "it"\n\n&/' encoder/Cargo.toml
sed -i '/^mod judges;/d' parser/tests/it/main.rs
sed -i '/^mod judge;/d' encoder/tests/it/passthrough/mod.rs

for file in ${*:-$writers}; do
  package=(dynamo-metrics-encoder --features openmetrics2) source=encoder/src/$file.rs tests=
  case $file in
    parser/*) package=(dynamo-metrics-parser) source=parser/src/${file#parser/}.rs ;;
    passthrough/*) tests=passthrough ;;
    negotiate | name_filter) tests="negotiate negotiate_properties openmetrics" ;;
    *) tests="kinds text openmetrics protobuf" ;;
  esac
  printf 'mod %s;\n' decode $tests >encoder/tests/it/main.rs
  # `touch` only reads ahead, and `bytes_max` may be any number that is large enough.
  nice cargo mutants --in-place --package "${package[@]}" --baseline skip --timeout 30 \
    --file "$source" --exclude-re touch --exclude-re bytes_max --exclude-re 'impl .*Debug' \
    ${SHARD:+--shard "$SHARD"} --output "$out/${file//\//_}" --no-times -- --lib --tests ||
    case $? in 2 | 3) ;; *) exit 1 ;; esac # 2: some were missed, 3: some ran into the timeout
done
known=$(grep -v '^#' "$root/ci/mutants.txt" | sort)
# As often as it is there: a second of the same spelling is one more.
missed=$(cat "$out"/*/mutants.out/missed.txt | sed 's/:[0-9]*:[0-9]*:/:/' | sort | comm -23 - <(echo "$known"))
echo
[ -z "$missed" ] && { echo "no mutant was missed but those in ci/mutants.txt"; exit; }
printf 'missed, and not in ci/mutants.txt:\n%s\n(where: %s/*/mutants.out/missed.txt)\n' "$missed" "$out"
exit 1
