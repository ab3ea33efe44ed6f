#!/usr/bin/env bash
# Prints the recording rules and alerts as a PrometheusRule, so that they stand in the repository once.
set -euo pipefail
cd "$(dirname "$0")/../prometheus/rules"
printf 'apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: dynamo\nspec:\n  groups:\n'
for file in recording.yml alerts.yml; do
  sed -n '/^groups:/,$p' "$file" | tail -n +2 | sed 's/^/  /'
done
