"""Methods that a program replaced: by a subclass, by a class mixed in, on one object, or on the class itself later."""

from typing import Any


class Originals:
    """Methods of a class as they are now, at the import."""

    def __init__(self, cls: type, *names: str) -> None:
        self._functions = [(name, getattr(cls, name)) for name in names]

    def are_those_of(self, instance: Any) -> bool:
        """Tells whether a call of each method on this object calls the original. Cost: two lookups a method."""
        cls, own = type(instance), vars(instance)
        return all(getattr(cls, name) is function and name not in own for name, function in self._functions)
