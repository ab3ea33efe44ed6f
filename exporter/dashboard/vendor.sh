#!/usr/bin/env bash
# Fetches uPlot (MIT) from npm into vendor/, at the version below, and says what it is. Run it to move to another version.
set -euo pipefail
cd "$(dirname "$0")"
version=1.6.32
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && npm pack --silent "uplot@$version" && tar xzf ./*.tgz)
cp "$folder/package/dist/uPlot.iife.min.js" vendor/uplot.js
cp "$folder/package/dist/uPlot.min.css" vendor/uplot.css
cp "$folder/package/LICENSE" vendor/LICENSE
printf 'uPlot %s, MIT, from npm; unchanged but for the files'"'"' names.\n' "$version" >vendor/README
