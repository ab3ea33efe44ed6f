#!/usr/bin/env bash
# Instructions of each recording, and of each series of a scrape, by callgrind: 3 minutes with the build. Counts repeat
# to the instruction, so a growth of more than 2 % over benches/instructions.txt fails. `ci/instructions.sh --write`
# writes that file anew.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind is not installed; this check needs it" >&2; exit 1; }
cargo build --release --locked --quiet -p dynamo-metrics-benches --no-default-features --bin instructions
program=target/release/instructions
[ -n "${CARGO_TARGET_DIR:-}" ] && program=$CARGO_TARGET_DIR/release/instructions

count() { # operation times
  # The addresses of its 16 labels decide whether two of them share a hint, which costs a search in each of their visits: 8.9 more
  # instructions a visit, and any change of what was allocated before moves them. In pages of their own no two do.
  [ "$1" = family-visit-inc ] && export GLIBC_TUNABLES=glibc.malloc.mmap_threshold=32
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

table=benches/instructions.txt
result=$(mktemp)
trap 'rm -f "$result"' EXIT
# Each operation with how many of what is counted one call is made of: series of a scrape, bytes of an engine's text.
while read -r operation parts; do
  # Start-up varies by some hundred instructions, with the seeds of hash tables: a hundredth of an instruction of each.
  times=40000
  [ "$parts" -gt 1 ] && times=20
  # What start-up costs cancels out.
  few=$(count "$operation" "$times")
  many=$(count "$operation" $((2 * times)))
  awk -v o="$operation" -v n=$((many - few)) -v t=$((times * parts)) 'BEGIN { printf "%-32s %8.2f\n", o, n / t }' |
    tee -a "$result"
done < <("$program")
if [ "${1:-}" = --write ]; then
  cp "$result" "$table"
  exit
fi
# What has shrunk fails too: until the table is written anew, it could grow back unseen.
awk 'NR == FNR { known[$1] = $2; next }
     !($1 in known) { print $1 ": not in the table"; bad = 1; next }
     $2 > known[$1] * 1.02 { print $1 ": " $2 " instructions, were " known[$1]; bad = 1 }
     $2 < known[$1] * 0.98 { print $1 ": " $2 " instructions, were " known[$1] "; write the table anew"; bad = 1 }
     { delete known[$1] }
     END { for (gone in known) { print gone ": in the table, and not counted"; bad = 1 } exit bad }' "$table" "$result"
echo "no operation has grown"
