"""Runs the stack for real: every query returns data, healthy load is silent, and each fault is seen within 15 s.

`python deploy/check/live.py [--short]`; short is 100 s instead of 8 minutes. Needs the program, prometheus and
prometheus-alertmanager (`up.sh` installs these). SCRAPE_SECONDS=15 does the same with that interval of scrapes and evaluations, and a
fault is then seen within three scrapes.
"""

import os
import re
import sys
import time

import dashboards
from stack import DEPLOY, MODEL, Clients, Stack

SHORT = "--short" in sys.argv
SCRAPE_SECONDS = int(os.environ.get("SCRAPE_SECONDS", "5"))
HEALTHY_SECONDS = max(45 if SHORT else 300, 9 * SCRAPE_SECONDS)
# The promise: an outage is seen within this time. Alerts of severity `ticket` may take twice as long.
SEEN_SECONDS = max(15, 3 * SCRAPE_SECONDS)
TICKETS = {"DynamoWorkersDropped", "DynamoEnginePageStale"}
# Beside other work (LOADED=1) a scrape or an evaluation is late; a fault that is not seen by then is a failure all the same.
LATEST_SECONDS = 4 * SEEN_SECONDS
LOADED = os.environ.get("LOADED") == "1"


def asked():
    """Returns (where it stands, expression) of every query that we ship or that operators use."""
    found = [(f"{board}: {panel}", expression) for board, panel, expression in dashboards.expressions(4 * SCRAPE_SECONDS)]
    lines = (DEPLOY / "check/in_use.txt").read_text().splitlines()
    found += [("in use", line) for line in lines if line and not line.startswith("#") and has_two_scrapes(line)]
    for page in ("README.md", "docs/operate.md"):
        for block in re.findall(r"```promql\n(.*?)```", (DEPLOY.parent / page).read_text(), re.S):
            found += [(page, line) for line in block.splitlines()]
    recorded = re.findall(r"record: (\S+)", (DEPLOY / "prometheus/rules/recording.yml").read_text())
    return found + [("recording.yml", name) for name in recorded]


def has_two_scrapes(expression):
    """Returns whether the windows of an expression, which others wrote for their interval of scrapes, always have two of ours."""
    return all(int(number) * {"s": 1, "m": 60}[unit] >= 2 * SCRAPE_SECONDS for number, unit in re.findall(r"\[(\d+)([sm])\]", expression))


def check_queries(stack):
    """Exits when a query is refused, or returns nothing for as long as `LATEST_SECONDS`.

    A share of blocks in use has no value at an instant at which no block is in use, so an empty answer is asked again.
    """
    queries = asked()
    end = time.monotonic() + LATEST_SECONDS
    empty = queries
    while True:
        try:
            empty = [(place, expression) for place, expression in empty if not stack.query(expression)]
        except ValueError as refused:
            raise SystemExit(f"FAILED: refused: {refused}") from None
        if not empty:
            print(f"ok    {len(queries)} queries return data")
            return
        if time.monotonic() > end:
            raise SystemExit("FAILED: empty:\n" + "\n".join(f"{place}: {expression}" for place, expression in empty))
        time.sleep(1)


def check_silence(stack, seconds):
    """Exits when an alert fires under healthy load."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        fired = stack.alerts()
        if fired:
            raise SystemExit(f"FAILED: fired under healthy load: {sorted(fired)}")
        time.sleep(1)
    print(f"ok    {seconds} s of load with 1 % cut streams and 1 % wrong names fire nothing")


def check_fault(stack, name, *alerts):
    """Waits until Alertmanager has each of `alerts`, and says after how long it had it."""
    begun = time.monotonic()
    for alert in alerts:
        stack.until(f"{alert} after: {name}", lambda alert=alert: alert in stack.alerts(), LATEST_SECONDS)
        took = time.monotonic() - begun
        promised = SEEN_SECONDS * (2 if alert in TICKETS else 1)
        if took > promised and not LOADED:
            raise SystemExit(f"FAILED: {name}: {alert} after {took:.1f} s, promised within {promised} s (LOADED=1 allows {LATEST_SECONDS} s)")
        late = f", later than the {promised} s of an idle machine" if took > promised else ""
        print(f"ok    {name}: {alert} after {took:.1f} s{late}", flush=True)


def main():
    """Runs the checks one after another."""
    bad = dashboards.faults()
    if bad:
        raise SystemExit("FAILED:\n" + "\n".join(bad))
    print("ok    dashboards: ids, places, variables, runbooks, rates")
    with Stack() as stack:
        clients = Clients(stack.frontend, 8)
        check_silence(stack, HEALTHY_SECONDS)
        check_queries(stack)
        stack.engine.stop()
        check_fault(stack, "an engine stops", "DynamoEnginePageStale")
        stack.workers[0].kill()
        check_fault(stack, "one of two workers is killed", "DynamoTargetDown", "DynamoWorkersDropped")
        stack.workers[1].kill()
        check_fault(stack, "the last worker is killed", "DynamoNoWorkers", "DynamoSaturated")
        clients.stop()
        print(f"ok    {clients.sent} requests were sent for {MODEL}")


if __name__ == "__main__":
    main()
