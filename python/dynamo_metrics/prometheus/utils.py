"""Numbers and versions in texts."""

from typing import Any

from .._native import go_string

INF = float("inf")
MINUS_INF = float("-inf")
NaN = float("nan")


def floatToGoString(d: Any) -> str:
    """Returns the text of a sample's value or of a bound: Python's `repr`, with exponents from a million on, as in Go."""
    return go_string(float(d))


def parse_version(version_str: str) -> tuple[int | str, ...]:
    """Returns the parts of a version, numbers as such."""
    return tuple(int(part) if part.isdecimal() else part for part in version_str.split("."))
