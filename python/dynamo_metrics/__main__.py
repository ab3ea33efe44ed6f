"""The program `dynamo-metrics`, and `python -m dynamo_metrics`: the same, but that its `worker` is the one written in Python."""

import signal
import sys

from ._native import _command


def command() -> int:
    """Runs the program with the arguments of the process; returns its exit code."""
    # Python's own handler would only note the signal until the program returns. An ignored signal stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _command(["dynamo-metrics", *sys.argv[1:]])


def module() -> int:
    """Runs `python -m dynamo_metrics` with the arguments of the process; returns its exit code."""
    if sys.argv[1:2] != ["worker"]:
        return command()
    try:
        from .demo_worker import main
    except ModuleNotFoundError as error:
        print(f"python -m dynamo_metrics worker needs {error.name}: pip install 'dynamo-metrics[demo]'", file=sys.stderr)
        return 1
    main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(module())
