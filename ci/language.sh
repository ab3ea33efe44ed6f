#!/usr/bin/env bash
# Fails on comments and documents that are not plain: `ci/language.sh [ROOT [FOLDER...]]`. CONTRIBUTING.md has the rules with
# examples.
set -uo pipefail
cd "${1:-$(dirname "$0")/..}" || exit
shift
[ $# -gt 0 ] || set -- .

comments=(
  # A sentence whose subject is a question word: "What a scrape shows ..." -> "The values that a scrape shows ...".
  '^\s*//[/!]?\s*(\[`?)?(What|Who|Whose|Whoever)\b'
  '//.*[.!?:;] (What|Who|Whose|Whoever) (?!.*\?)'
  '\S.* // (What|Who|Whose|Whoever)\b'
  # A program is not a person: "nobody reads it" -> "no thread reads it".
  '//.*\b([Nn]obody|[Ss]omebody|[Ee]verybody|[Nn]o one|[Ss]omeone|[Ee]veryone|[Aa]nyone|[Aa]nybody)\b'
  # Metaphors for which the field has a term: listener, scrape deadline, evict, log throttle, under load, deregister.
  '//.*\b([Bb]esieged?|[Ff]arewell|[Pp]atience|[Gg]ives? way)\b'
)
documents=(
  # The same at the beginning of a heading, an item or a paragraph; a question may stand.
  '^(#+ |\* |\d+\. )?(What|Who|Whose|Whoever|Nobody) (?!.*\?)'
)
bad=0
search() { # an include, a pattern, folders
  local include="$1" pattern="$2"
  shift 2
  grep -rnP --include="$include" --exclude-dir={target,node_modules,vendor,.git,.venv,.judges} --exclude=conventions.rs \
    -- "$pattern" "$@" && bad=1
}
for pattern in "${comments[@]}"; do
  search '*.rs' "$pattern" "$@"
  search '*.js' "$pattern" "$@"
done
for pattern in "${documents[@]}"; do
  search '*.md' "$pattern" "$@"
done
# A doc comment that begins with a clause or a fragment: "Whether it runs." -> "Returns whether it runs.", "True if it runs."; "How
# long it waits." -> "Longest wait.". Only the first line of a `///` block or of a file's `//!` header, and only the sources of
# crates. The help texts of clap's arguments stay.
beginnings=$(find "$@" -type d \( -name target -o -name node_modules -o -name vendor -o -name '.?*' \) -prune \
  -o -path '*/src/*' -name '*.rs' -exec awk '
    function report() {
      if (found != "" && !/^[ \t]*#\[arg\(/) print found
      found = ""
    }
    FNR == 1 {
      if (found != "") print found
      found = kind = ""
    }
    {
      line = $0
      sub(/^[ \t]+/, "", line)
      now = line ~ /^\/\/\/([^\/]|$)/ ? "outer" : line ~ /^\/\/!/ ? "inner" : ""
      if (now != kind) {
        report()
        if (now != "" && substr(line, 4) ~ /^ *(Whether|How|Which|Why|When|Where|Of|By|As|In|It|Both)([^A-Za-z0-9_-]|$)/)
          found = FILENAME ":" FNR ":" $0
      }
      kind = now
    }
    END { if (found != "") print found }' {} +)
[ -z "$beginnings" ] || {
  echo "$beginnings"
  bad=1
}
[ $bad = 0 ] || { echo "say it plainly: CONTRIBUTING.md, \"Language\", has the rules with examples" >&2; exit 1; }
echo "plain: $*"
