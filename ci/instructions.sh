#!/usr/bin/env bash
# Instructions of each recording, and of each series of a scrape, by callgrind: 3 minutes with the build. Counts repeat
# to the instruction, so a growth of more than 2 % over benches/instructions.txt fails. `ci/instructions.sh --write`
# writes that file anew.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind is not installed; this check needs it" >&2; exit 1; }
cargo build --release --locked --quiet -p dynamo-metrics-benches --bin instructions
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
each() { # operation parts
  # Start-up varies by some hundred instructions, with the seeds of hash tables: a hundredth of an instruction of each.
  local times=40000
  [ "$2" -gt 1 ] && times=20
  # The cost of start-up cancels out.
  few=$(count "$1" "$times")
  many=$(count "$1" $((2 * times)))
  awk -v o="$1" -v n=$((many - few)) -v t=$((times * $2)) 'BEGIN { printf "%-32s %8.2f\n", o, n / t }'
}

known() { # line of an operation: whether it is within 2 % of the table
  awk -v line="$1" 'BEGIN { split(line, is) } $1 == is[1] { found = is[2] <= $2 * 1.02 && is[2] >= $2 * 0.98 } END { exit !found }' "$table"
}

# Each operation with how many of its kind one call counts: series of a scrape, bytes of an engine's text.
while read -r operation parts; do
  line=$(each "$operation" "$parts")
  # The seeds of hash tables decide which series share a place, rarely with a difference of 2 %. Growth is there twice.
  known "$line" || line=$(each "$operation" "$parts")
  echo "$line" | tee -a "$result"
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
