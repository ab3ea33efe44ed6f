"""Names beyond letters, digits and underscores, in each of the schemes that a scraper may ask for; and label values."""

from collections.abc import Callable

from .validation import is_legacy_label_name, is_legacy_metric_name

ALLOWUTF8 = "allow-utf-8"
UNDERSCORES = "underscores"
DOTS = "dots"
VALUES = "values"
SCHEMES = (ALLOWUTF8, UNDERSCORES, DOTS, VALUES)


def escape_metric_name(s: str, escaping: str = UNDERSCORES) -> str:
    """Returns the name of a metric in a scheme; in quotation marks where UTF-8 is allowed and needed."""
    return _escape_name(s, escaping, is_legacy_metric_name, ":")


def escape_label_name(s: str, escaping: str = UNDERSCORES) -> str:
    """Returns the name of a label in a scheme; in quotation marks where UTF-8 is allowed and needed."""
    return _escape_name(s, escaping, is_legacy_label_name, "")


def escape_value(text: str) -> str:
    """Returns a label value without quotation marks, backslashes and ends of lines of its own."""
    return escape_help(text).replace('"', r"\"")


def escape_help(text: str) -> str:
    """Returns a help text of the text format, on one line."""
    return text.replace("\\", r"\\").replace("\n", r"\n")


def series(name: str, labels: dict[str, str], escaping: str) -> str:
    """Returns the beginning of a sample's line: its name, and its labels in the order of their names."""
    parts = [f'{escape_label_name(label, escaping)}="{escape_value(value)}"' for label, value in sorted(labels.items())]
    escaped = escape_metric_name(name, escaping)
    if escaped.startswith('"'):
        return "{" + ",".join([escaped, *parts]) + "}"
    return escaped + "{" + ",".join(parts) + "}" if parts else escaped


def _escape_name(name: str, escaping: str, is_plain: Callable[[str], bool], more: str) -> str:
    if not name:
        return name
    if escaping == DOTS:
        return "".join(_dots(c, at, more) for at, c in enumerate(name))
    if is_plain(name):
        return name
    if escaping == ALLOWUTF8:
        return f'"{escape_value(name)}"'
    if escaping == VALUES:
        return "U__" + "".join(_value(c, at, more) for at, c in enumerate(name))
    return "".join(c if _is_plain(c, at, more) else "_" for at, c in enumerate(name))


def _is_plain(c: str, at: int, more: str) -> bool:
    return c.isascii() and (c.isalpha() or c == "_" or c in more or (c.isdigit() and at > 0))


def _dots(c: str, at: int, more: str) -> str:
    if c == ".":
        return "_dot_"
    return c if _is_plain(c, at, more) and c != "_" else "__"


def _value(c: str, at: int, more: str) -> str:
    if c == "_":
        return "__"
    if _is_plain(c, at, more):
        return c
    return "_FFFD_" if "\ud800" <= c <= "\udfff" else f"_{ord(c):x}_"
