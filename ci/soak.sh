#!/usr/bin/env bash
# Soak: 10 minutes (SOAK_SECONDS), and a release build of the program before. One `dynamo-metrics serve` under load:
# completions, scrapes in every format with and without gzip, stampedes of them, probes, slow and silent clients, and
# junk on both ports, and an engine that is passed through when it is not slow or broken. Its memory is sampled every 10 s (SOAK_SAMPLE) and must be flat in the second half; when the load is over, descriptors and
# threads must be as few as before it, and everybody who behaves must be served. Linux; needs nothing but Rust and python3.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SOAK_SECONDS:-600}
sample=${SOAK_SAMPLE:-10}

python3 ci/soak.py --self-test
cargo build --release --locked -p dynamo-metrics-cli
program=${CARGO_TARGET_DIR:-target}/release/dynamo-metrics
work=$(mktemp -d)

read -r http_port system_port engine_port < <(python3 ci/soak.py --free-ports)
DYN_SYSTEM_PORT=$system_port "$program" serve --http-port "$http_port" \
  --engine-metrics "vllm=http://127.0.0.1:$engine_port/metrics" >"$work/output" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

if ! python3 ci/soak.py --pid "$server" --frontend "$http_port" --system "$system_port" \
  --engine "$engine_port" --seconds "$seconds" --sample "$sample"; then
  tail -n 20 "$work/output" >&2
  exit 1
fi
