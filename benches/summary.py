#!/usr/bin/env python3
"""Prints the tables of docs/performance.md from the rows of `versus`.

    python3 benches/summary.py [target/versus.jsonl]

A line has our figure, the floor's, the best peer's and that of the `prometheus` crate, all of one run; ratios to floors are
those that `versus` took round by round. Rows that do less than ours are no peers: handles whose counts reach a page only when the program
flushes them, histograms with bounds of their own choice, and variants of our own.
"""
import json
import sys

OURS = "dynamo-metrics"
NO_PEERS = (
    OURS, "floor: ", "(", "hdrhistogram", "metriken AtomicCounterHistogram", "metriken ShardedCounterHistogram", "linear",
    "binary", "u64 +=", "relaxed", "empty", "f64 add", "memcpy",
)
RECORDINGS = [
    ("counter, `inc`", "counter", OURS),
    ("counter, `inc` by a local handle", "counter", "dynamo-metrics LocalCounter"),
    ("up/down counter, `inc` or `dec`", "updown", OURS),
    ("histogram of 11 bounds, `observe`", "histogram-11", OURS),
    ("histogram of integers, 11 bounds", "histogram-11", "dynamo-metrics IntegerHistogram"),
    ("histogram of 20 bounds", "histogram-20", OURS),
    ("histogram of integers, 20 bounds", "histogram-20", "dynamo-metrics IntegerHistogram"),
    ("histogram of 64 bounds", "histogram-64", OURS),
    ("histogram of integers, 64 bounds", "histogram-64", "dynamo-metrics IntegerHistogram"),
    ("lookup by two strings, and `inc`", "family", OURS),
    ("lookup by enums, and `inc`", "family", "dynamo-metrics, enums"),
    ("a token of a `Request`", "token", OURS),
    ("its two recordings by handle", "token", "dynamo-metrics, handles of integers"),
]
PAGES = [
    ("1,508 lines of a frontend", "encode-realistic"),
    ("1,000 histograms of 12 bounds", "encode-hist-1000x12"),
    ("10,000 counters", "encode-counters-10k"),
    ("100,000 counters", "encode-counters-100k"),
    ("1,000,000 counters", "encode-counters-1m"),
]
FLOORS = {
    "dynamo-metrics IntegerHistogram": "floor: lookup, bucket, integer sum",
    "dynamo-metrics, handles of integers": "floor: token",
}


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "target/versus.jsonl"
    with open(path) as lines:
        rows = [json.loads(line) for line in lines]
    recordings(rows)
    pages(rows)
    memory(rows)


def recordings(rows):
    print("| recording | threads | ours, ns | floor | ours / floor | best peer | times ours | `prometheus` | times ours |")
    print("|---|---|---|---|---|---|---|---|---|")
    for title, group, what in RECORDINGS:
        for threads in (1, 2):
            here = [row for row in rows if row["group"] == group and row["threads"] == threads]
            cells = compared(here, what)
            if cells:
                print("| " + " | ".join([title, str(threads), *cells]) + " |")
    print()


def pages(rows):
    print("| page as text, ns a line | ours | floor | ours / floor | best peer | times ours | `prometheus` | times ours |")
    print("|---|---|---|---|---|---|---|---|")
    for title, group in PAGES:
        for suffix, cache in (("", "warm"), ("-cold", "cold")):
            cells = compared([row for row in rows if row["group"] == group + suffix], OURS)
            if cells:
                print("| " + " | ".join([f"{title}, {cache}", *cells]) + " |")
    print()


def memory(rows):
    print("| memory of a series, bytes | ours | best peer | times ours | `prometheus` | times ours |")
    print("|---|---|---|---|---|---|")
    for metric, title in (("counter", "counter with 3 labels"), ("histogram", "histogram of 12 bounds")):
        # A peer that released memory of its own within the measurement has no figure.
        here = [
            row for row in rows if row["group"] == "memory" and row.get("metric") == metric and row["bytes"] > 0
        ]
        cells = compared(here, OURS, "bytes")
        if cells:
            print("| " + " | ".join([title, cells[0], *cells[3:]]) + " |")


def compared(rows, what, field="ns_median"):
    """Returns the cells of a line; None if it was not measured."""
    by_name = {row["what"]: row for row in rows}
    ours = by_name.get(what)
    if ours is None:
        return None
    floors = [row for row in rows if row["what"].startswith("floor: ")]
    floor = by_name.get(FLOORS.get(what)) or (floors[0] if floors else None)
    peers = [row for row in rows if not row["what"].startswith(NO_PEERS) and "never flushed" not in row["what"]]
    best = min(peers, key=lambda row: row[field], default=None)
    prometheus = next((row for row in peers if name(row) == "prometheus"), None)
    cells = [number(ours[field])]
    ratios = dict(ours.get("over_floors", []))
    cells += [number(floor[field]), number(ratios[floor["what"]])] if floor else ["", ""]
    cells += [f"{number(best[field])} ({name(best)})", number(over(best, ours))] if best else ["", ""]
    cells += [number(prometheus[field]), number(over(prometheus, ours))] if prometheus else ["", ""]
    return cells


def name(row):
    """Returns the crate of a row."""
    return row["what"].split()[0].rstrip(",")


def over(above, below):
    """Returns how many times a peer's row is ours, by the rounds of our first row, which both are compared with."""
    return above["ratio_median"] / below["ratio_median"]


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main()
