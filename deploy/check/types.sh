#!/usr/bin/env bash
# Compiles the dashboards against Grafana's own types (@grafana/schema from npm), in a folder under target/.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v npm >/dev/null; then
  echo "SKIPPED: the dashboards' types (needs npm)" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ]
  exit
fi
folder=target/grafana-schema
mkdir -p "$folder"
cd "$folder"
[ -f package.json ] || echo '{"private": true}' >package.json
[ -d node_modules/@grafana/schema ] || npm install --silent --no-audit --no-fund '@grafana/schema@12.1.0' 'typescript@5.9.3'
{
  echo "import type { Dashboard, Panel, RowPanel } from '@grafana/schema';"
  # JSON has the strings where the types have enums.
  echo "type Plain<T> = T extends string ? \`\${T}\` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;"
  for file in ../../deploy/grafana/dashboards/*.json; do
    name="$(basename "$file" .json)"
    echo "export const $name: Plain<Dashboard> = $(cat "$file");"
  done
} >dashboards.ts
npx tsc --noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022 dashboards.ts
echo "ok    dashboards have Grafana's types"
