"""Reads the dashboards without Grafana: what it would show, link to and ask."""

import json
import re
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent


def boards():
    """Returns each dashboard's file name and content."""
    return [(path.name, json.loads(path.read_text())) for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json"))]


def expressions(rate_seconds):
    """Returns (dashboard, panel, expression) of every query, with the variables replaced by all of their values.

    `rate_seconds` is for $__rate_interval, which Grafana makes of four scrapes.
    """
    found = []
    for name, board in boards():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                asked = target["expr"].replace("$__rate_interval", f"{rate_seconds}s")
                found.append((name, panel["title"], re.sub(r"\$\w+", ".*", asked)))
    return found


def overlap(one, other):
    """Returns whether two panels cover each other."""
    return (
        one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]
    )


def faults():
    """Returns what is wrong with the dashboards, in words."""
    runbooks = {heading.strip().lower() for heading in re.findall(r"^## (.*)$", (DEPLOY.parent / "docs/operate.md").read_text(), re.M)}
    found = []
    for name, board in boards():
        panels = board["panels"]
        if len({panel["id"] for panel in panels}) != len(panels):
            found.append(f"{name}: two panels have one id")
        places = [panel["gridPos"] for panel in panels]
        found += [f"{name}: panels {a + 1} and {b + 1} overlap" for a in range(len(places)) for b in range(a) if overlap(places[a], places[b])]
        if not any(each["type"] == "datasource" for each in board["templating"]["list"]):
            found.append(f"{name}: no variable for the data source")
        for panel in panels:
            if panel["type"] != "row":
                found += [f"{name}: {panel['title']}: {fault}" for fault in panel_faults(panel, runbooks)]
    uids = [board["uid"] for _, board in boards()]
    return found + (["two dashboards have one uid"] if len(set(uids)) != len(uids) else [])


def panel_faults(panel, runbooks):
    """Returns what is wrong with one panel."""
    found = []
    if not panel.get("description"):
        found.append("no description")
    links = [link["url"].rpartition("#")[2] for link in panel.get("links", [])]
    if not links or any(link not in runbooks for link in links):
        found.append(f"no runbook, or one that docs/operate.md lacks: {links}")
    if panel.get("datasource", {}).get("uid") != "${datasource}":
        found.append("another data source than the variable's")
    for target in panel["targets"]:
        asked = target["expr"]
        if "clamp_min" in asked:
            found.append("clamp_min makes a low rate a high one")
        if re.search(r"\[\d", asked):
            found.append(f"a range of its own instead of $__rate_interval: {asked}")
        if re.search(r"_(sum|count|total)\{[^}]*\}(?!\[)", asked):
            found.append(f"a counter without a rate is an average over the life of a process: {asked}")
    return found
