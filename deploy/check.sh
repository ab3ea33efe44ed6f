#!/usr/bin/env bash
# Checks everything in deploy/ that needs no browser: 9 minutes, or 2 with --short. LOADED=1 allows alerts to be late.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
program="${DYNAMO_METRICS:-target/release/dynamo-metrics}"
[ -x "$program" ] || cargo build --release --locked -p dynamo-metrics-cli

bash deploy/install.sh
promtool check rules deploy/prometheus/rules/*.yml
promtool test rules deploy/prometheus/tests/alerts.yml
python deploy/check/intervals.py "$@"
promtool check config deploy/prometheus/prometheus.yml
amtool check-config deploy/alertmanager/alertmanager.yml
python deploy/grafana/build.py --check
bash deploy/check/types.sh
python deploy/check/live.py "$@"
