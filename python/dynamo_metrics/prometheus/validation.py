"""Names of metrics and labels, and exemplars: all of UTF-8, or the old set of characters where that is asked for."""

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence

from .samples import Exemplar

METRIC_NAME_RE = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
METRIC_LABEL_NAME_RE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

# The limit of OpenMetrics 1.0, in characters of names and values.
EXEMPLAR_CHARACTERS_MAX = 128

_legacy_validation = os.environ.get("PROMETHEUS_LEGACY_NAME_VALIDATION", "").lower() in ("true", "1", "t")


def get_legacy_validation() -> bool:
    """Tells whether names are held to the old set of characters."""
    return _legacy_validation


def disable_legacy_validation() -> None:
    """Allows all of UTF-8 in names."""
    global _legacy_validation
    _legacy_validation = False


def enable_legacy_validation() -> None:
    """Allows letters, digits, underscores, and colons of metrics only."""
    global _legacy_validation
    _legacy_validation = True


def is_legacy_metric_name(name: str) -> bool:
    """Tells whether a metric's name has only the old set of characters."""
    return METRIC_NAME_RE.fullmatch(name) is not None


def is_legacy_label_name(name: str) -> bool:
    """Tells whether a label's name has only the old set of characters, and is not reserved."""
    return METRIC_LABEL_NAME_RE.fullmatch(name) is not None and not name.startswith("__")


def check_metric_name(name: str) -> None:
    """Raises `ValueError` for a name that no metric may have."""
    if not name:
        raise ValueError("the name of a metric is empty")
    if _legacy_validation and not is_legacy_metric_name(name):
        raise ValueError(f"metric name {name!r} must match {METRIC_NAME_RE.pattern}")
    _check_unicode("metric name", name)


def check_label_name(name: str) -> None:
    """Raises `ValueError` for a name that no label may have."""
    if name.startswith("__"):
        raise ValueError(f"label name {name!r} is reserved: it begins with two underscores")
    if _legacy_validation and not is_legacy_label_name(name):
        raise ValueError(f"label name {name!r} must match {METRIC_LABEL_NAME_RE.pattern}")
    _check_unicode("label name", name)


def _check_unicode(what: str, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} {name!r} is not valid Unicode: it has a lone surrogate") from None


def check_label_names(names: Iterable[str], reserved: Sequence[str]) -> tuple[str, ...]:
    """Returns the names; raises `ValueError` for one that no label of the metric may have."""
    names = tuple(names)
    for name in names:
        check_label_name(name)
        if name in reserved:
            raise ValueError(f"label name {name!r} is reserved by the metric's type")
    return names


def make_exemplar(labels: Mapping[str, str], value: float) -> Exemplar:
    """Returns the exemplar of an increment or observation now; raises `ValueError` where its labels are not valid."""
    characters = 0
    for name, text in labels.items():
        check_label_name(name)
        characters += len(name) + len(text)
    if characters > EXEMPLAR_CHARACTERS_MAX:
        raise ValueError(
            f"the exemplar's labels have {characters} characters; {EXEMPLAR_CHARACTERS_MAX} are allowed"
        )
    return Exemplar(dict(labels), value, time.time())
