# Functions of the scripts that run the own tests of published crates on a crate of ours, in place of the one that they use. For `source`.
# A crate whose source or dependencies cannot be fetched is skipped, and said to be; DYNAMO_METRICS_JUDGES=required makes that a failure.
# UNPATCHED=1 runs the tests as published, to compare. Nothing of the sources is kept in this repository.

bad=0
skipped() {
  echo "SKIPPED: $*" >&2
  [ "${DYNAMO_METRICS_JUDGES:-}" != required ] || bad=1
}

# Prints the folder of a crate's source in cargo's registry; nothing where it cannot be fetched.
source_of() { # crate, version, folder to work in
  local crate=$1 version=$2 work=$3
  mkdir -p "$work/src"
  touch "$work/src/lib.rs"
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n%s = "%s"\n' \
    "$crate" "$version" >"$work/Cargo.toml"
  cargo metadata --format-version 1 --manifest-path "$work/Cargo.toml" 2>/dev/null | python3 -c '
import json, pathlib, sys
packages = json.load(sys.stdin)["packages"]
print(*[pathlib.Path(p["manifest_path"]).parent for p in packages if p["name"] == sys.argv[1]])' "$crate" || true
}

# Runs a crate's tests on ours. A function `prepare` may change its copy, which it gets as its argument.
judge() { # what to patch, its version, the folder of ours; crate, version, arguments of cargo test
  local patched=$1 patched_version=$2 ours=$3 crate=$4 version=$5 work source
  work=$CARGO_TARGET_DIR/judges/$crate
  shift 5
  rm -rf "$work"
  source=$(source_of "$crate" "$version" "$work/fetch")
  if [ ! -e "$source/Cargo.toml" ]; then
    skipped "$crate $version is not in cargo's registry"
    return
  fi
  cp -r "$source" "$work/source"
  rm -f "$work/source/Cargo.lock"
  printf '\n[workspace]\n' >>"$work/source/Cargo.toml"
  if [ -z "${UNPATCHED:-}" ]; then
    printf '\n[patch.crates-io]\n%s = { path = "%s" }\n' "$patched" "$ours" >>"$work/source/Cargo.toml"
  fi
  prepare "$work/source"
  if ! cargo fetch --quiet --manifest-path "$work/source/Cargo.toml" 2>/dev/null; then
    skipped "the dependencies of $crate $version cannot be fetched"
    return
  fi
  # The patch is of no use where the crate asks for another version.
  if [ -z "${UNPATCHED:-}" ] &&
    ! cargo tree --quiet --manifest-path "$work/source/Cargo.toml" --all-features -i "$patched@$patched_version" 2>/dev/null |
      grep -q "$patched v$patched_version ($ours)"; then
    skipped "$crate $version does not use $patched $patched_version"
    return
  fi
  run_tests "$crate $version" "$work/source" "$@"
}

# Runs the tests of a crate that is there.
run_tests() { # its name, its folder, arguments of cargo test
  local name=$1 folder=$2 output
  shift 2
  output=$(cargo test --quiet --manifest-path "$folder/Cargo.toml" "$@" 2>&1) || {
    tail -n 60 <<<"$output"
    echo "FAILED: $name" >&2
    bad=1
    return
  }
  echo "$name: $(grep -o '[0-9]* passed' <<<"$output" | awk '{n += $1} END {print n + 0}') of its tests pass"
}
