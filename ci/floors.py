#!/usr/bin/env python3
"""Fails on an import that runs up between the rooms of a crate.

    python3 ci/floors.py [ROOT]

ARCHITECTURE.md lists the rooms (folders and files directly below `src`) of each crate from the ground up, in blocks
that begin with ```floors:

    core: sync < error < shard < ...

A room may import from itself and from rooms left of it. Files of one room may import from each other. Imports are
`crate::room::...`, groups and names that the root re-exports included, and `super::` where it leaves the room. Tests at
the end of a file, files of tests, binaries below `src/bin` and the crate's root are exempt: they see every room.
"""
import re
import sys
from pathlib import Path

COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|"(?:\\.|[^"\\])*"', re.S)
TESTS = re.compile(r"^#\[cfg\((?:test|all\(test)[^\n]*\n(?:(?:#\[|///)[^\n]*\n)*(?:pub(?:\([\w ]+\))? )?mod \w+", re.M)
PATH = re.compile(r"\b(crate|super(?:::super)*)::(\{|\w+)")


def floors(root):
    """Returns the rooms of each crate, from the ground up."""
    text = (root / "ARCHITECTURE.md").read_text()
    blocks = "\n".join(re.findall(r"^```floors\n(.*?)^```", text, re.S | re.M))
    crates = re.findall(r"^([\w-]+):((?:(?!^[\w-]+:).)*)", blocks, re.S | re.M)
    return {crate: [room.strip() for room in rooms.split("<")] for crate, rooms in crates}


def heads(text, at):
    """Returns the first segments of a path's rest, which is one name or a group of paths."""
    if text[at] != "{":
        return [re.match(r"\w+", text[at:]).group()]
    depth, begin, found = 0, at + 1, []
    for place in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0 or (depth == 1 and text[place] == ","):
            head = re.match(r"\s*(\w+)", text[begin:place])
            found += [head.group(1)] if head else []
            begin = place + 1
        if depth == 0:
            break
    return found


def imports(path, below):
    """Returns (line, room) for each path of a file that begins at the crate's root. `below` counts the modules between."""
    text = path.read_text()
    tests = TESTS.search(text)
    text = text[: tests.start()] if tests else text
    # Blank, with the lines kept.
    text = COMMENT_OR_STRING.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
    for found in PATH.finditer(text):
        if text.startswith("!", found.end()) or found.group(2) == "self":
            continue  # A macro of the crate is seen wherever the text after it is; it has no room.
        if found.group(1) == "crate" or found.group(1).count("super") == below:
            line = text.count("\n", 0, found.start()) + 1
            yield from ((line, room) for room in heads(text, found.start(2)))


def check(root, crate, rooms):
    """Returns the complaints about one crate."""
    src = root / crate / "src"
    if not src.is_dir():
        return [f"{crate}: ARCHITECTURE.md lists its floors, but there is no {crate}/src"]
    there = {path.stem for path in src.iterdir() if path.is_dir() or path.suffix == ".rs"}
    there -= {"lib", "main", "bin", "tests"}
    bad = [f"{crate}: room {room} has no floor; add it to the list in ARCHITECTURE.md" for room in sorted(there - {*rooms})]
    bad += [f"{crate}: room {room} is in ARCHITECTURE.md, but not in {crate}/src" for room in rooms if room not in there]
    names = re_exports(src)
    for path in sorted(src.rglob("*.rs")):
        parts = path.relative_to(src).with_suffix("").parts
        if len(parts) == 1 and parts[0] in ("lib", "main") or parts[0] == "bin" or "tests" in parts:
            continue
        room, below = parts[0], len(parts) - (parts[-1] == "mod")
        for line, other in imports(path, below):
            place = f"{path.relative_to(root)}:{line}"
            if other not in there and not other.startswith("__"):
                # A name of the root leads to the room that the root re-exports it from.
                other = names.get(other, "the crate's root")
            if room not in rooms or other == room:
                continue
            if other == "the crate's root":
                bad.append(f"{place}: {room} imports an item of {other}, which is above it; give the item a room")
            elif other in rooms and rooms.index(other) > rooms.index(room):
                bad.append(f"{place}: {room} imports from {other}, which is above it")
    return bad


def re_exports(src):
    """Returns the room of each name that the crate's root re-exports."""
    text = (src / "lib.rs").read_text() if (src / "lib.rs").exists() else ""
    found = {}
    for room, rest in re.findall(r"^\s*pub use (?:crate::)?(\w+)::([^;]+);", COMMENT_OR_STRING.sub("", text), re.M):
        found.update({name: room for name in re.findall(r"\w+", rest)})
    return found


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    crates = floors(root)
    if not crates:
        sys.exit("ARCHITECTURE.md lists no floors: a block that begins with ```floors is missing")
    bad = [complaint for crate, rooms in crates.items() for complaint in check(root, crate, rooms)]
    if bad:
        sys.exit("\n".join(bad))
    print(f"no import runs up: {', '.join(f'{crate} ({len(rooms)} rooms)' for crate, rooms in crates.items())}")


main()
