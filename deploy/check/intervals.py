"""Tests the rules at every interval of scrapes: each alert fires in its cases and only there, whatever the interval.

`python deploy/check/intervals.py [--short] [FOLDER OF RULES]`. Needs promtool. A case below is a deployment of its own, under healthy
load but for one fault, as a function of time; the program samples it every N seconds, writes a test for `promtool test rules`, and runs
it. All cases run side by side and are told apart by `dynamo_namespace`. `deploy/prometheus/tests/alerts.yml` has the texts of the alerts.

A test asks three times for the alerts that ever fired: at the fault, when there must be none though Prometheus has just begun; after
3 N and some seconds, when there must be every outage; and at the end, when there must be what the cases say and nothing else.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

RULES = Path(__file__).resolve().parent.parent / "prometheus/rules"
SHORT = [5, 15, 30, 60]
# Intervals that no window is a multiple of, too.
ALL = [1, 2, 3, 5, 7, 8, 10, 11, 13, 15, 19, 20, 29, 30, 31, 40, 45, 59, 60]
EVALUATION_SECONDS = 5
# From an evaluation to a scrape: a window whose two ends are scrapes has one sample more than it has nearly ever.
OFFSET_SECONDS = 2
# From the beginning to the fault: more than the 10 min of DynamoWorkersDropped, and than the 3 min and 5 min of first events.
BEFORE_SECONDS = 660
# From the fault to the end: the 5 min of DynamoErrorBudgetBurnSlow, and some scrapes.
AFTER_SECONDS = 540
# Alerts that are seen within 3 N or 15 s, and those that also wait up to 20 s, so that a burst is no fault.
AT_ONCE = {"DynamoTargetDown", "DynamoNoWorkers", "DynamoSaturated", "DynamoEnginePageStale"}
AFTER_A_WAIT = {"DynamoWorkersDropped", "DynamoStuckInFlight", "DynamoQueueGrowing", "DynamoKvCacheFull"}
WAIT_SECONDS = 20


class Clock:
    """The seconds of one test. A scrape falls on the fault, and has the values of before it."""

    def __init__(self, interval):
        self.interval = interval
        self.before = -(-BEFORE_SECONDS // interval)
        self.fault = OFFSET_SECONDS + self.before * interval
        self.end = self.fault + AFTER_SECONDS

    def scrapes(self):
        """Returns the instant of each scrape, as the number of scrapes after the fault: the first with it is 1."""
        return range(-self.before, AFTER_SECONDS // self.interval + 1)

    def scrapes_in(self, seconds):
        """Returns the number of scrapes within some seconds: where they come every second, two that fail are no outage yet."""
        return seconds // self.interval


# A value is a function of the number of the scrape after the fault and of the seconds after it; None where the page lacks the series.


def steady(value, then=None):
    """Returns a gauge, with another value after the fault."""
    return lambda scrape, seconds: value if scrape < 1 or then is None else then


def within(scrapes, value, otherwise):
    """Returns a gauge that has `value` in some scrapes after the fault only."""
    return lambda scrape, seconds: value if scrape in scrapes else otherwise


def briefly(value, otherwise):
    """Returns a gauge that has `value` in one scrape, and for 4 s where that is more."""
    return lambda scrape, seconds: value if scrape == 1 or 0 < seconds <= 4 else otherwise


def bursts(each, period):
    """Returns a counter that grows once in a period."""
    return lambda scrape, seconds: 100_000 + each * (seconds // period)


def grows(each_second, then=None):
    """Returns a counter that began long ago, with another rate after the fault."""
    after = each_second if then is None else then
    return lambda scrape, seconds: 100_000 + (each_second if seconds < 0 else after) * seconds


def born(value, at=1):
    """Returns a counter that has no series until its first event."""
    return lambda scrape, seconds: value if scrape >= at else None


def begins(at):
    """Returns a counter that has no series until an event, and grows from then on."""
    return lambda scrape, seconds: 30 + 10 * seconds if scrape >= at else None


BEFORE, FOREVER = range(-10_000, 1), range(1, 10_000)


def histogram(name, quick, slow, then=None):
    """Returns the series of a latency: observations a second below a bound and above it, and after the fault."""
    one, other = (quick, slow), then or (quick, slow)
    below, above = ("1.0", "10") if "first" in name else ("0.05", "0.9")
    return {
        (f"{name}_bucket", ("le", below)): grows(one[0], other[0]),
        (f"{name}_bucket", ("le", above)): grows(sum(one), sum(other)),
        (f"{name}_bucket", ("le", "+Inf")): grows(sum(one), sum(other)),
        (f"{name}_count",): grows(sum(one), sum(other)),
    }


TTFT, ITL = "dynamo_frontend_time_to_first_token_seconds", "dynamo_frontend_inter_token_latency_seconds"
REQUESTS, REJECTED = "dynamo_frontend_requests_total", "dynamo_frontend_rejected_requests_total"
INFLIGHT, QUEUED, TOKENS = "dynamo_frontend_inflight_requests", "dynamo_frontend_queued_requests", "dynamo_frontend_output_tokens_total"
READY, MIGRATIONS = "dynamo_frontend_model_ready", "dynamo_frontend_model_migration_total"
BLOCKS, CACHE = "dynamo_component_kvstats_total_blocks", "dynamo_component_kvstats_gpu_cache_usage_percent"
ENGINE = "dynamo_engine_metrics_up"

# A hundred requests a second: 1 % is left by its client, and as many name a model that is not there.
FRONTEND = {
    (REQUESTS, ("status", "success")): grows(99),
    (REQUESTS, ("status", "error")): grows(1),
    ("dynamo_frontend_cancelled_requests_total",): grows(1),
    (REJECTED, ("reason", "not_found")): grows(1),
    (REJECTED, ("reason", "overload")): grows(0),
    (INFLIGHT,): steady(40),
    (QUEUED,): steady(3),
    (TOKENS,): grows(1000),
    ("dynamo_frontend_input_sequence_tokens_sum",): grows(2000),
    (READY,): steady(1),
    (MIGRATIONS, ("migration_type", "ongoing_request")): grows(0),
} | histogram(TTFT, 100, 0) | histogram(ITL, 1000, 0)
WORKER = {
    (BLOCKS,): steady(100),
    (CACHE,): steady(0.5),
    ("dynamo_component_requests_total",): grows(50),
    (ENGINE,): steady(1),
    ("dynamo_engine_metrics_age_seconds",): steady(0),
    ("dynamo_metrics_series_overflow_total", ("family", "f")): grows(0),
    ("dynamo_metrics_server_config_last_reload_successful",): steady(1),
}


class Case:
    """A frontend, two workers, or all of them if nothing differs: series that differ from the healthy ones, and scrapes after the fault
    that fail, that are not made, or that are so late that one is left out.
    """

    def __init__(self, name, fires=(), frontend=(), worker=(), failed=(), unlisted=(), frontend_failed=(), frontend_unlisted=(), late=(), again=False):
        self.name, self.fires, self.late, self.targets = name.replace(" ", "-"), set(fires), late, []
        of_frontend, of_worker = any((frontend, frontend_failed, frontend_unlisted)), any((worker, failed, unlisted, again))
        if of_frontend or not of_worker:
            self.add("frontend", FRONTEND | dict(frontend), frontend_failed, frontend_unlisted)
        if of_worker or not of_frontend:
            self.add("worker", WORKER | dict(worker), failed, FOREVER if again else unlisted)
            self.add("worker", WORKER, instance="other")
        if again:
            self.add("worker", WORKER, (), BEFORE, zone="b")

    def add(self, role, page, failed=(), unlisted=(), instance="one", **labels):
        """Adds a target."""
        place = {"dynamo_namespace": self.name, "job": f"dynamo-{role}", "instance": f"{self.name}-{instance}"} | labels
        self.targets.append((place, place | ({"model": "m"} if role == "frontend" else {"dynamo_component": "backend"}), page, failed, unlisted))

    def series(self, clock):
        """Returns each series' name with labels, and its values in promtool's notation."""
        for target, place, page, failed, unlisted in self.targets:
            failed = failed(clock) if callable(failed) else failed
            yield written("up", target), sampled(clock, self.late, unlisted, lambda scrape, _, failed=failed: 0 if scrape in failed else 1)
            for (name, *labels), value in page.items():
                yield written(name, place | dict(labels)), sampled(clock, self.late, {*failed, *unlisted}, value)


def written(name, labels):
    """Returns a series in PromQL."""
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def sampled(clock, late, absent, value):
    """Returns a series' values, one a second and most of them missing; the first scrape without it makes it stale, unless that is late."""
    samples, there = [f"_x{OFFSET_SECONDS}"], False
    for scrape in clock.scrapes():
        at = None if scrape in absent else value(scrape, scrape * clock.interval)
        if scrape in late:
            samples.append("_")
        else:
            samples.append(f"{at:.10g}" if at is not None else "stale" if there else "_")
            there = at is not None
        if clock.interval > 1:
            samples.append(f"_x{clock.interval - 1}")
    return " ".join(samples)


CASES = [
    Case("healthy load"),
    Case("scrapes are late", late=[1, 5]),
    Case("a scrape of a frontend fails", frontend_failed=lambda clock: range(1, 1 + max(1, clock.scrapes_in(4)))),
    Case("a scrape of a worker fails", failed=[1]),
    Case("every other scrape of a worker fails", failed=range(1, 10_000, 2)),
    Case("a worker that is found later", unlisted=BEFORE),
    Case("a worker whose first scrape fails", unlisted=BEFORE, failed=[1]),
    Case("a worker whose engine does not answer at first", unlisted=BEFORE, worker={(ENGINE,): within([1], 0, 1)}),
    Case("a worker that comes back with another label", again=True),
    Case("a frontend that is found later", frontend_unlisted=BEFORE, frontend={(REJECTED, ("reason", "overload")): steady(7)}),
    Case("scrapes of a frontend fail twice", ["DynamoTargetDown"], frontend_failed=lambda clock: range(1, 1 + max(2, clock.scrapes_in(14)))),
    Case("a worker does not answer", ["DynamoTargetDown", "DynamoWorkersDropped"], failed=FOREVER),
    Case("a worker leaves", ["DynamoWorkersDropped"], unlisted=FOREVER),
    Case("the last worker has left", ["DynamoNoWorkers"], {(READY,): steady(1, 0)}),
    Case("tokens cease", ["DynamoStuckInFlight"], {(TOKENS,): grows(1000, 0)}),
    Case("the first requests hang", ["DynamoStuckInFlight"], {(INFLIGHT,): steady(0, 3), (TOKENS,): grows(0)}),
    Case("a request without a token for one scrape", (), {(INFLIGHT,): within([1], 1, 0), (TOKENS,): grows(0)}),
    Case("tokens come every 8 s", (), {(TOKENS,): bursts(80, 8)}),
    Case("an idle model", (), {(INFLIGHT,): steady(0), (QUEUED,): steady(0), (TOKENS,): grows(0)}),
    Case("the first token of a frontend", (), {(INFLIGHT,): steady(1), (TOKENS,): begins(at=2)}, frontend_unlisted=BEFORE),
    Case("one request in ten fails", ["DynamoErrorBudgetBurnFast", "DynamoErrorBudgetBurnSlow"], {(REQUESTS, ("status", "error")): grows(1, 11)}),
    Case("one request in a hundred fails from the first on", ["DynamoErrorBudgetBurnSlow"], {(REQUESTS, ("status", "error")): grows(2)}, frontend_unlisted=BEFORE),
    Case("one request in a thousand fails", (), {(REQUESTS, ("status", "error")): grows(1, 1.1)}),
    Case("slow first tokens", ["DynamoTimeToFirstTokenSlow"], histogram(TTFT, 100, 0, (5, 95))),
    Case("three slow first tokens", (), histogram(TTFT, 0, 0, (0, 0.01))),
    Case("slow tokens", ["DynamoInterTokenLatencySlow"], histogram(ITL, 1000, 0, (50, 950))),
    Case("a queue", ["DynamoQueueGrowing"], {(QUEUED,): steady(3, 20)}),
    Case("a queue in one scrape", (), {(QUEUED,): within([1, 4], 20, 3)}),
    Case("refusals", ["DynamoSaturated"], {(REJECTED, ("reason", "overload")): grows(0, 1)}),
    Case("one refusal", ["DynamoSaturated"], {(REJECTED, ("reason", "overload")): steady(7, 8)}),
    Case("the first refusal", ["DynamoSaturated"], {(REJECTED, ("reason", "overload")): born(1)}),
    Case("the first wrong name", (), {(REJECTED, ("reason", "not_found")): born(1)}),
    Case("a full cache", ["DynamoKvCacheFull"], worker={(CACHE,): steady(0.5, 0.99)}),
    Case("a cache that is full in one scrape", worker={(CACHE,): within([1, 4], 0.99, 0.5)}),
    Case("migrations", ["DynamoMigrationStorm"], {(MIGRATIONS, ("migration_type", "ongoing_request")): grows(0, 0.2)}),
    Case("one migration", (), {(MIGRATIONS, ("migration_type", "ongoing_request")): steady(7, 8)}),
    Case("an engine does not answer", ["DynamoEnginePageStale"], worker={(ENGINE,): steady(1, 0)}),
    Case("an engine does not answer once", worker={(ENGINE,): briefly(0, 1)}),
    Case("a family reaches its cap", ["DynamoSeriesCapHit"], worker={("dynamo_metrics_series_overflow_total", ("family", "f")): born(1)}),
    Case("a value is cut", ["DynamoLabelValueCut"], worker={("dynamo_metrics_cut_label_values_total", ("family", "f")): born(1)}),
    Case("values were cut before", (), worker={("dynamo_metrics_cut_label_values_total", ("family", "f")): steady(7)}),
    Case("the configuration is refused", ["DynamoWebConfigRefused"], worker={("dynamo_metrics_server_config_last_reload_successful",): steady(1, 0)}),
] + [
    Case(f"{counter} begins", ["DynamoPageFailing"], worker={(f"dynamo_metrics_{counter}_total",): born(1)})
    for counter in ("server_gather_errors", "server_gather_panics", "callback_panics", "callback_late")
]


def fired(at, cases, only=None):
    """Returns the question for the alerts that ever fired, with the answer that the cases give."""
    chosen = f', alertname=~"{"|".join(sorted(only))}"' if only else ""
    expected = [written("", {"alertname": alert, "dynamo_namespace": case.name}) for case in cases for alert in case.fires if not only or alert in only]
    return {
        "expr": f'group by (dynamo_namespace, alertname) (count_over_time(ALERTS{{alertstate="firing"{chosen}}}[1h]))',
        "eval_time": f"{at}s",
        "exp_samples": [{"labels": labels, "value": 1} for labels in expected],
    }


def rates(clock):
    """Returns the questions for rates: they are those of the cases, and a worker that left has none after a minute."""
    for record, labels, value in (
        ("model_status:dynamo_frontend_requests:rate1m", {"dynamo_namespace": "healthy-load", "model": "m", "status": "success"}, 99),
        ("model:dynamo_frontend_output_tokens:rate1m", {"dynamo_namespace": "healthy-load", "model": "m"}, 1000),
        ("model:dynamo_frontend_input_tokens:rate1m", {"dynamo_namespace": "healthy-load", "model": "m"}, 2000),
        ("component:dynamo_component_requests:rate1m", {"dynamo_namespace": "healthy-load", "dynamo_component": "backend"}, 100),
        ("component:dynamo_component_requests:rate1m", {"dynamo_namespace": "a-worker-leaves", "dynamo_component": "backend"}, 50),
    ):
        yield {"expr": f"round({written(record, labels)}, 0.01)", "eval_time": f"{clock.fault + 90}s", "exp_samples": [{"labels": written("", labels), "value": value}]}


def test(interval):
    """Returns the test of one interval."""
    clock, silent = Clock(interval), [Case("nothing")]
    soon = clock.fault + max(3 * interval, 15)
    return {
        "name": f"a scrape every {interval} s",
        "interval": "1s",
        "input_series": [{"series": series, "values": values} for case in CASES for series, values in case.series(clock)],
        "promql_expr_test": [
            fired(clock.fault, silent),
            fired(soon, CASES, AT_ONCE),
            fired(soon + WAIT_SECONDS, CASES, AFTER_A_WAIT),
            fired(clock.end, CASES),
            *rates(clock),
        ],
    }


def differences(said):
    """Returns what promtool says, with long answers cut down to the series by which they differ."""
    for line in said.splitlines():
        kind, _, answer = line.strip().partition(": ")
        found = dict(re.findall(r"({[^}]*}) ([^\s,]+)", answer))
        if kind == "exp":
            expected = found
        elif kind == "got":
            yield from (f"  missing     {series} {value}" for series, value in expected.items() if found.get(series) != value)
            yield from (f"  unexpected  {series} {value}" for series, value in found.items() if expected.get(series) != value)
        elif kind not in ("", "SUCCESS") and not kind.startswith("Unit Testing"):
            yield line


def main():
    """Runs the tests."""
    folder = next((Path(each).resolve() for each in sys.argv[1:] if not each.startswith("--")), RULES)
    failed = []
    for interval in SHORT if "--short" in sys.argv else ALL:
        asked = {
            "rule_files": [str(folder / name) for name in ("recording.yml", "alerts.yml")],
            "evaluation_interval": f"{EVALUATION_SECONDS}s",
            "tests": [test(interval)],
        }
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump(asked, file)
            file.flush()
            run = subprocess.run(["promtool", "test", "rules", file.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            failed.append(str(interval))
            print(f"FAILED: the rules, with a scrape every {interval} s", *differences(run.stdout), sep="\n", flush=True)
        else:
            print(f"ok    {len(CASES)} cases with a scrape every {interval} s", flush=True)
    if failed:
        sys.exit(f"FAILED: the rules, with a scrape every {', '.join(failed)} s")


if __name__ == "__main__":
    main()
