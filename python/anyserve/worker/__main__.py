"""``python -m anyserve.worker TARGET [--factory]``: one worker process, started by an agent."""

from __future__ import annotations

import sys

from .. import _core
from ..errors import TargetError
from .loader import load


def main(arguments: list[str]) -> int:
    """Serves until the agent says stop."""
    # Before anything of the user's runs: from here on the worker's life ends with the agent's.
    worker = _core.Worker()
    target, *flags = arguments
    try:
        app = load(target, factory="--factory" in flags)
    except TargetError as error:
        worker.start_failed(str(error), error.traceback)
        return 1
    concurrency = worker.ready(list(app.handlers))
    if any(handler.is_async for handler in app.handlers):
        from . import event_loop

        event_loop.serve(worker, concurrency)
    elif concurrency > 1:
        from . import threads

        threads.serve(worker, concurrency)
    else:
        worker.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
