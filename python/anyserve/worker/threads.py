"""Runs handlers on several threads."""

from __future__ import annotations

import threading

from .. import _core
from .ending import end_process

__all__ = ["serve"]


def serve(worker: _core.Worker, count: int) -> None:
    """Serves on ``count`` threads, this one among them, until the agent says stop."""
    others = [threading.Thread(target=_serve, args=(worker,), name=f"handler-{number}") for number in range(1, count)]
    for thread in others:
        thread.start()
    _serve(worker)
    for thread in others:
        thread.join()


def _serve(worker: _core.Worker) -> None:
    try:
        worker.serve()
    except BaseException as error:
        # A handler that exits means the process, whichever thread it is on.
        end_process(error)
