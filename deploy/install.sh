#!/usr/bin/env bash
# Installs what the checks of deploy/ need: Prometheus, Alertmanager, and the library that writes dashboards. With the
# argument `monitors` only the first two.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v amtool >/dev/null || ! command -v promtool >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "prometheus and prometheus-alertmanager are missing; install them (Debian has packages of these names)" >&2
    exit 1
  fi
  echo "installing prometheus and prometheus-alertmanager (Debian packages)"
  bash ci/debian.sh prometheus prometheus-alertmanager curl
fi
[ "${1:-}" = monitors ] && exit 0
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -c 'import grafana_foundation_sdk' 2>/dev/null || {
  echo "installing grafana-foundation-sdk into .venv"
  .venv/bin/pip install --quiet 'grafana-foundation-sdk==1769699998!10.1.0'
}
