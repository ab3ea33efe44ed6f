"""Refuses to be imported in a sub-interpreter: the extension has one set of classes for the process."""

import importlib


def is_main() -> bool:
    """Tells whether this is the main interpreter; true where Python has no module that knows."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # of 3.13 and later, and before
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return bool(module.get_current() == module.get_main())
    return True


if not is_main():
    raise ImportError("dynamo_metrics does not support subinterpreters; import it in the main interpreter, or use processes")
