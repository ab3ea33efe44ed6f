#!/usr/bin/env bash
# Unpacks newer judges than this Debian has into .judges/, without touching the system: Prometheus and promtool of
# trixie (2.53) and sid (3.x), VictoriaMetrics of sid. The archive is the machine's own; only the suite differs. Does
# nothing that is done already. About 35 seconds and 310 MB when fresh.
#
#   .judges/trixie/usr/bin/prometheus    .judges/sid/usr/bin/{prometheus,promtool,victoria-metrics}
#
# Where it cannot, it says so and leaves the rest: then the tests that need these judges skip, or fail if
# DYNAMO_METRICS_JUDGES=required, as this script does too.
set -euo pipefail
cd "$(dirname "$0")/../.."

# A mirror that hangs costs this much, not the whole run.
PATIENCE_SECONDS=100

fail() {
  echo "NO NEWER JUDGES: $*; tests against Prometheus 2.53, 3.x and VictoriaMetrics will not run here" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" = required ] && exit 1
  exit 0
}

# The machine's own source of Debian packages as one line `deb [signed-by=...] URI`, suite and components left out.
source_line() {
  local codename files=(/etc/apt/sources.list.d/*.sources)
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  if [ -e "${files[0]}" ]; then
    # Fields of a stanza (deb822) come in any order; a stanza ends with an empty line or its file.
    awk -v codename="$codename" '
      function finish() {
        if (suits && uri != "") print "deb " (key == "" ? "" : "[signed-by=" key "] ") uri
        suits = 0; uri = key = ""
      }
      FNR == 1 || /^[[:space:]]*$/ { finish() }
      $1 == "URIs:" { uri = $2 }
      $1 == "Signed-By:" { key = $2 }
      $1 == "Suites:" { for (i = 2; i <= NF; i++) if ($i == codename) suits = 1 }
      END { finish() }' "${files[@]}"
  fi
  [ ! -e /etc/apt/sources.list ] ||
    sed -n "s|^\(deb .*\) $codename main.*|\1|p" /etc/apt/sources.list
}

# Programs of one suite; each is called as its package.
unpack() {
  local suite=$1 into=.judges/$1 work missing=0 program packages=()
  shift
  for program in "$@"; do
    [ -x "$into/usr/bin/$program" ] || { missing=1; packages+=("$program"); }
  done
  [ "$missing" = 1 ] || return 0
  echo "unpacking ${packages[*]} of Debian $suite into $into"
  work=$(mktemp -d)
  mkdir -p "$work"/{none,state/lists/partial,cache/archives/partial} "$into"
  printf '%s %s main\n' "$SOURCE" "$suite" >"$work/sources.list"
  # The system's own lists, cache and pins are left alone. Only the index of binary packages is read.
  local apt=(timeout "$PATIENCE_SECONDS" apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list"
    -o Dir::Etc::sourceparts="$work/none" -o Dir::Etc::preferences="$work/none"
    -o Dir::Etc::preferencesparts="$work/none" -o Dir::State="$work/state" -o Dir::Cache="$work/cache"
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=1)
  "${apt[@]}" update || { rm -rf "$work"; return 1; }
  (cd "$work" && "${apt[@]}" download "${packages[@]}") || { rm -rf "$work"; return 1; }
  # Only the programs: the rest is web pages, manuals and other programs.
  for program in "${packages[@]}"; do
    dpkg-deb --fsys-tarfile "$work/$program"_*.deb | tar -x -C "$into" "./usr/bin/$program"
  done
  rm -rf "$work"
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "apt-get and dpkg-deb are missing"
SOURCE=$(source_line | head -n 1)
[ -n "$SOURCE" ] || fail "this machine's apt has no Debian source to copy"
unpack trixie prometheus || fail "Debian trixie cannot be had"
unpack sid prometheus promtool victoria-metrics || fail "Debian sid cannot be had"
