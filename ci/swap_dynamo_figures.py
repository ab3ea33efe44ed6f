#!/usr/bin/env python3
"""Measures two builds of ci/swap_dynamo_page.rs side by side: `swap_dynamo_figures.py OURS PUBLISHED`, 2 minutes.

Times: processes of both alternate, and the lower quartile of the rounds counts, as in the other tables of docs/swap.md.
Instructions: callgrind, the difference between a run and one of twice as many times, so that start-up cancels out.
"""

import re
import shutil
import subprocess
import sys

ROUNDS = 16
# A name, the program's mode and endpoints, how many times in a round, and how many under callgrind.
ROWS = [
    ("`/metrics` text, 4 endpoints", "pages", 4, 2_000, 20),
    ("`/metrics` text, 100 endpoints", "pages", 100, 80, 5),
    ("metrics of a request", "requests", 1, 2_000_000, 20_000),
]


def output(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)


def nanoseconds(program, mode, endpoints, times):
    return int(output(program, mode, endpoints, times).stdout)


def instructions(program, mode, endpoints, times):
    counts = []
    for n in (times, 2 * times):
        callgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
        log = output(*callgrind, program, mode, endpoints, n).stderr
        counts.append(int(re.search(r"Collected : (\d+)", log)[1]))
    return (counts[1] - counts[0]) // times


def row(name, unit, ours, published):
    print(f"| {name} | {unit} | {ours:,} | {published:,} | {published / ours:.1f} |", flush=True)


def main(ours, published):
    print("| | unit | ours | published | ratio |\n|---|---|---:|---:|---:|")
    for name, mode, endpoints, times, _ in ROWS:
        rounds = [[nanoseconds(program, mode, endpoints, times) for program in (ours, published)] for _ in range(ROUNDS)]
        row(name, "ns", *(sorted(side)[ROUNDS // 4] for side in zip(*rounds)))
    if not shutil.which("valgrind"):
        print("SKIPPED: the instructions: valgrind is missing", file=sys.stderr)
        return
    for name, mode, endpoints, _, times in ROWS:
        row(name, "instructions", *(instructions(program, mode, endpoints, times) for program in (ours, published)))


main(*sys.argv[1:])
