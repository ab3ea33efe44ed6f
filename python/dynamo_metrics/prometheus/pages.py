"""A page: the texts of a registry's families, from the native half where it can write them."""

from collections.abc import Callable, Iterator

from .escaping import ALLOWUTF8, UNDERSCORES
from .metrics import native_text
from .metrics_core import Metric
from .multiprocess import MultiProcessCollector
from .overrides import Originals
from .registry import Collector, CollectorRegistry

_REGISTRY = Originals(CollectorRegistry, "collect")
_ALL_PROCESSES = Originals(MultiProcessCollector, "collect")


def page(
    registry: Collector, escaping: str, openmetrics: bool, write: Callable[[Metric], str]
) -> Iterator[bytes]:
    """Yields the text of each family; `write` returns that of a family which the native half does not write."""
    sources = [registry]
    if isinstance(registry, CollectorRegistry) and _REGISTRY.are_those_of(registry):
        sources = registry._sources()
    # The other schemes change plain names, too.
    plain_stays = escaping in (ALLOWUTF8, UNDERSCORES)
    for source in sources:
        text = None
        if plain_stays and isinstance(source, MultiProcessCollector) and _ALL_PROCESSES.are_those_of(source):
            text = source._text(openmetrics)
        elif plain_stays:
            text = native_text(source, openmetrics)
        if text is not None:
            yield text
            continue
        for metric in source.collect():
            try:
                yield _utf8(write(metric))
            except Exception as error:
                error.args = (*(error.args or ("",)), metric)
                raise


def _utf8(text: str) -> bytes:
    """Returns the bytes of a text. A lone surrogate becomes what it becomes in the native half, so that a series is the same on each page."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass").decode(errors="replace").encode()
