#!/usr/bin/env bash
# Starts Prometheus, Alertmanager and both roles of Dynamo on loopback, without containers, until Ctrl-C.
#
#   bash deploy/up.sh [options of `dynamo-metrics serve`]
#   FRONTENDS="127.0.0.1:8000" WORKERS="127.0.0.1:8081 127.0.0.1:8082" bash deploy/up.sh --monitor-only
#
# The second form starts only the two monitors, for roles that run already. Without WORKERS they ask the first frontend for its
# workers (`/sd`, with DYN_METRICS_WORKER_TOKEN if it has one). PROMETHEUS_PORT and ALERTMANAGER_PORT choose other
# ports, SCRAPE_SECONDS (5) the interval of scrapes and evaluations. Data lives in a folder that is removed at the end.
set -euo pipefail
cd "$(dirname "$0")"

PROMETHEUS_PORT="${PROMETHEUS_PORT:-9090}"
ALERTMANAGER_PORT="${ALERTMANAGER_PORT:-9093}"
SCRAPE_SECONDS="${SCRAPE_SECONDS:-5}"
FRONTENDS="${FRONTENDS:-127.0.0.1:${DYN_HTTP_PORT:-8000}}"
WORKERS="${WORKERS:-}"
monitor_only=false
if [ "${1:-}" = --monitor-only ]; then
  monitor_only=true
  shift
fi
for each in "$@"; do
  case "$each" in
    --http-port* | --host*) echo "$each would move the frontend away from Prometheus' targets; use DYN_HTTP_PORT instead" >&2; exit 2 ;;
  esac
done

targets() { # one file_sd file: a name and its addresses
  local file="$folder/targets/$1.yml"
  shift
  { echo "- targets:"; printf '    - "%s"\n' "$@"; } >"$file"
}

await() { # a name and the URL that says that it is ready
  for _ in $(seq 100); do
    curl -fsS -o /dev/null "$2" 2>/dev/null && return
    sleep 0.1
  done
  echo "$1 does not answer at $2; its log:" >&2
  tail -n 20 "$folder/$1.log" >&2
  exit 1
}

is_taken() { # a port of loopback
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

stop() {
  trap - EXIT INT TERM
  for each in "${started[@]}"; do kill "$each" 2>/dev/null || true; done
  for each in "${started[@]}"; do wait "$each" 2>/dev/null || true; done
  rm -rf "$folder"
}

bash install.sh monitors
for port in "$PROMETHEUS_PORT" "$ALERTMANAGER_PORT"; do
  if is_taken "$port"; then
    echo "port $port is taken; choose others by PROMETHEUS_PORT and ALERTMANAGER_PORT" >&2
    exit 1
  fi
done
folder="$(mktemp -d)"
started=()
trap stop EXIT
trap 'exit 0' INT TERM
mkdir "$folder/targets"
cp -r prometheus/prometheus.yml prometheus/rules "$folder/"
# A timeout is no longer than its interval.
sed -i -e "s/_interval: 5s/_interval: ${SCRAPE_SECONDS}s/" \
  -e "s/scrape_timeout: 4s/scrape_timeout: $((SCRAPE_SECONDS < 4 ? SCRAPE_SECONDS : 4))s/" "$folder/prometheus.yml"
# shellcheck disable=SC2086 # a list of addresses
targets frontend $FRONTENDS
if [ -n "$WORKERS" ]; then
  # shellcheck disable=SC2086
  targets worker $WORKERS
  sed -i '/# Every worker that is registered/,/authorization:/d' "$folder/prometheus.yml"
else
  echo "[]" >"$folder/targets/worker.yml"
  sed -i "s|http://frontend:8000/sd|http://${FRONTENDS%% *}/sd|" "$folder/prometheus.yml"
  # A frontend on loopback asks for none.
  printf %s "${DYN_METRICS_WORKER_TOKEN:-none}" >"$folder/worker_token"
fi
targets alertmanager "127.0.0.1:$ALERTMANAGER_PORT"

# The roles first, so that the first scrape finds them.
if ! $monitor_only; then
  program=../target/release/dynamo-metrics
  [ -x "$program" ] || cargo build --release --locked --manifest-path ../Cargo.toml -p dynamo-metrics-cli
  "$program" serve "$@" &
  started+=($!)
  for _ in $(seq 100); do
    is_taken "${FRONTENDS##*:}" && break
    kill -0 "${started[0]}" 2>/dev/null || exit 1
    sleep 0.1
  done
fi
prometheus-alertmanager --config.file=alertmanager/alertmanager.yml --storage.path="$folder/alerts" \
  --web.listen-address="127.0.0.1:$ALERTMANAGER_PORT" --cluster.listen-address= >"$folder/alertmanager.log" 2>&1 &
started+=($!)
prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/data" --enable-feature=exemplar-storage \
  --web.listen-address="127.0.0.1:$PROMETHEUS_PORT" >"$folder/prometheus.log" 2>&1 &
started+=($!)
await alertmanager "http://127.0.0.1:$ALERTMANAGER_PORT/-/ready"
await prometheus "http://127.0.0.1:$PROMETHEUS_PORT/-/ready"

echo "prometheus    http://127.0.0.1:$PROMETHEUS_PORT/targets"
echo "alerts        http://127.0.0.1:$PROMETHEUS_PORT/alerts and http://127.0.0.1:$ALERTMANAGER_PORT"
echo "Ctrl-C stops all of it."
# Ends when one of them does, which none does by itself.
wait -n
