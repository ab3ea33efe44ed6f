"""Runs the tests of `prometheus_client` on `dynamo_metrics.prometheus`: copied beside them as `conftest.py` by ci/python_swap.sh.

`EXCEPTIONS` is a file of lines `FILE::TEST: reason`, or `FILE: reason` for whole files. A listed test has to fail or to skip, all
others have to pass. A reason that begins with `unsteady` allows both.
"""

import importlib
import inspect
import os
import pathlib
import pkgutil
import sys
import types

import pytest

import dynamo_metrics.prometheus as ours

sys.modules["prometheus_client"] = ours
for module in pkgutil.walk_packages(ours.__path__, ours.__name__ + "."):
    alias = "prometheus_client" + module.name.removeprefix(ours.__name__)
    sys.modules[alias] = importlib.import_module(module.name)

# A helper of the tests, which is no part of the API.
decorator = types.ModuleType("prometheus_client.decorator")
decorator.getargspec = lambda function: inspect.getfullargspec(function)[:4]
sys.modules[decorator.__name__] = decorator

here = pathlib.Path(__file__).parent
lines = pathlib.Path(os.environ["EXCEPTIONS"]).read_text().splitlines()
exceptions = dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))
collect_ignore = [name for name in exceptions if "::" not in name]
unexpected = []


@pytest.fixture(autouse=True)
def created_series():
    """Their default; ours leaves these series out."""
    ours.enable_created_metrics()


def pytest_collection_modifyitems(items):
    listed = {name for name in exceptions if "::" in name}
    for item in items:
        if item.nodeid in listed:
            listed.remove(item.nodeid)
            reason = exceptions[item.nodeid]
            item.add_marker(pytest.mark.xfail(reason=reason, strict=not reason.startswith("unsteady")))
    missing = sorted(listed) + [name for name in collect_ignore if not (here / name).exists()]
    unexpected.extend(f"{name} is listed, but there is no such test" for name in missing)


def pytest_runtest_logreport(report):
    if report.skipped and report.nodeid not in exceptions:
        unexpected.append(f"{report.nodeid} was skipped, and is not listed")


def pytest_sessionfinish(session, exitstatus):
    for line in unexpected:
        print(f"\n{line}", file=sys.stderr)
    if unexpected and not exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
