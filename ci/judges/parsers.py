"""Reads bodies with the parsers of prometheus_client and prints what they understood.

Standard input: for each body a line `text|openmetrics LENGTH`, then that many bytes. Output: a line of JSON for each,
a list of [name, labels, value (null for a native histogram), exemplar labels or null, timestamp or null, exemplar value
or null, exemplar timestamp or null], or {"error": why}. Numbers are strings, so that none is rounded on the way; timestamps are seconds.
"""
import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text
from prometheus_client.samples import Timestamp

PARSERS = {"text": text, "openmetrics": openmetrics}


def time(at):
    if isinstance(at, Timestamp):
        return f"{at.sec}.{at.nsec:09}"
    return None if at is None else repr(at)


while header := sys.stdin.buffer.readline().split():
    body = sys.stdin.buffer.read(int(header[1]))
    try:
        samples = [
            [
                s.name,
                s.labels,
                None if s.value is None else repr(float(s.value)),
                s.exemplar.labels if s.exemplar else None,
                time(s.timestamp),
                repr(float(s.exemplar.value)) if s.exemplar else None,
                time(s.exemplar.timestamp) if s.exemplar else None,
            ]
            for family in PARSERS[header[0].decode()](body.decode())
            for s in family.samples
        ]
        print(json.dumps(samples))
    except Exception as error:  # whatever it is, the body is refused
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
