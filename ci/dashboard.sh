#!/usr/bin/env bash
# The live page: its types, its modules, its size, and itself in headless Chromium; 3 minutes. `--short` leaves Chromium out.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v npm >/dev/null; then
  echo "SKIPPED: the live page (needs Node.js and npm)" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ]
  exit
fi
page="$PWD/exporter/dashboard"
tools="$PWD/target/dashboard"
mkdir -p "$tools"
[ -f "$tools/package.json" ] || echo '{"private": true}' >"$tools/package.json"
[ -d "$tools/node_modules/typescript" ] || (cd "$tools" && npm install --silent --no-audit --no-fund typescript@5.9.3 playwright-core@1.57.0)

(cd "$page" && "$tools/node_modules/.bin/tsc" --noEmit --checkJs --allowJs --strict --target es2022 --module es2022 \
  --moduleResolution bundler --lib es2022,dom,dom.iterable ./*.js)
bytes="$(cat "$page"/*.js "$page"/*.css "$page/index.html" "$page"/vendor/uplot.* | gzip -9c | wc -c)"
echo "the page is $bytes bytes in gzip"
[ "$bytes" -le 61440 ]
node --test "$page/tests/units.test.mjs"
[ "${1:-}" != --short ] || exit 0

if ! command -v chromium >/dev/null; then
  echo "installing chromium (Debian package)"
  bash ci/debian.sh chromium
fi
[ -x "${DYNAMO_METRICS:-target/release/dynamo-metrics}" ] || cargo build --release --locked -p dynamo-metrics-cli
# Modules are found from the folder of the test.
ln -sfn "$tools/node_modules" "$page/node_modules"
node --test "$page/tests/live.test.mjs"
