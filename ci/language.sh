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
[ $bad = 0 ] || { echo "say it plainly: CONTRIBUTING.md, \"Language\", has the rules with examples" >&2; exit 1; }
echo "plain: $*"
