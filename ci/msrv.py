#!/usr/bin/env python3
"""Fails where a published crate needs a newer Rust than the `rust-version` that its Cargo.toml states.

    python3 ci/msrv.py [ROOT]

The need is computed from what a crate depends on (all features, the versions of Cargo.lock, this machine's platform, no
loom), and from two features of the language: chains of `let` and `if let` guards. Items of the standard library are clippy's
part: `clippy::incompatible_msrv` is on by default and knows the version that each came with. A need that none of the three
finds is possible: only a build by the old compiler would.
"""
import json
import re
import subprocess
import sys
from pathlib import Path

COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|"(?:\\.|[^"\\])*"', re.S)
# A condition's text up to its `&&`, which does not count in parentheses.
CONDITION = r"(?:[^{}();&]|&(?!&)|\((?:[^(){};]|\([^(){};]*\))*\))*"
LANGUAGE = [
    ((1, 88), "chains of let", re.compile(rf"&&\s*let\b|\b(?:if|while) let {CONDITION}&&")),
    ((1, 95), "an if let guard", re.compile(r"\bif let [^{};]*=>")),
]


def version(text):
    """Returns the first two numbers of a version, which are all that a minor release changes."""
    return tuple(int(number) for number in text.split(".")[:2])


def metadata(root):
    """Returns cargo's packages by id, and their nodes: what is built with what."""
    host = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True)).group(1)
    options = ["--format-version=1", "--locked", "--all-features", f"--filter-platform={host}"]
    data = json.loads(subprocess.check_output(["cargo", "metadata", *options], cwd=root))
    nodes = {node["id"]: node["deps"] for node in data["resolve"]["nodes"]}
    return {package["id"]: package for package in data["packages"]}, nodes


def built(nodes, name):
    """Returns the ids of all packages that are built into a package, itself included; those of its tests are not."""
    found, left = set(), [name]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [it["pkg"] for it in nodes[name] if any(kind["kind"] != "dev" for kind in it["dep_kinds"])]
    return found


def language(folder):
    """Yields the version and the name of each feature of the language in a crate's sources."""
    sources = [COMMENT_OR_STRING.sub('""', path.read_text()) for path in sorted((folder / "src").rglob("*.rs"))]
    yield from ((since, feature) for since, feature, form in LANGUAGE if any(map(form.search, sources)))


def needs(packages, nodes, package):
    """Returns (version, reason) for all that asks for a version, the newest first."""
    found = list(language(Path(package["manifest_path"]).parent))
    for name in built(nodes, package["id"]) - {package["id"]}:
        it = packages[name]
        found += [(version(it["rust_version"]), f"{it['name']} {it['version']}")] if it["rust_version"] else []
    return sorted(found, reverse=True)


def main():
    packages, nodes = metadata(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent))
    bad = []
    for package in packages.values():
        if package["source"] or package["publish"] == []:
            continue
        stated = version(package["rust_version"] or "0.0")
        for need, reason in needs(packages, nodes, package)[:1]:
            line = f"{package['name']}: states {stated[0]}.{stated[1]}, {reason} needs {need[0]}.{need[1]}"
            print(line)
            bad += [line] if need > stated else []
    if bad:
        sys.exit("\n".join(["a Cargo.toml states less than its crate needs:", *bad]))


main()
