#!/usr/bin/env bash
# Packages every published crate as `cargo publish` would, in dependency order, and builds each from its package. Publishes
# nothing. `--no-verify` leaves the builds out; `cargo` needs no network where the crates of Cargo.lock are there.
set -euo pipefail
cd "$(dirname "$0")/.."

# From the ground up: a crate comes after those that it depends on.
crates=(dynamo-metrics-core dynamo-metrics-parser dynamo-metrics-encoder dynamo-metrics-multiprocess dynamo-metrics-server dynamo-metrics-exporter dynamo-metrics)

# What crates.io and docs.rs show of a crate.
cargo metadata --format-version 1 --no-deps --locked | python3 -c '
import json, pathlib, sys
published = sys.argv[1:]
packages = {package["name"]: package for package in json.load(sys.stdin)["packages"]}
bad, before = [], set()
for name in published:
    package = packages[name]
    fields = ["description", "keywords", "categories", "license", "readme", "rust_version"]
    bad += [f"{name}: no {field}" for field in fields if not package[field]]
    if not (pathlib.Path(package["manifest_path"]).parent / "LICENSE").is_file():
        bad.append(f"{name}: no LICENSE")
    if len(package["keywords"]) > 5:
        bad.append(f"{name}: crates.io takes no more than 5 keywords")
    if not (package["metadata"] or {}).get("docs", {}).get("rs"):
        bad.append(f"{name}: no [package.metadata.docs.rs]")
    ours = {it["name"] for it in package["dependencies"] if it.get("path") and it["kind"] is None}
    bad += [f"{name}: {it} comes after it, or is not published" for it in sorted(ours - before)]
    before.add(name)
sys.exit("\n".join(bad) or None)
' "${crates[@]}"

# All in one call, so that each finds those before it though no registry has them.
cargo package --locked "$@" "${crates[@]/#/-p=}"
