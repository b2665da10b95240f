"""Runs handlers that are not async: on this thread, and on others beside it if several may run at once."""

from __future__ import annotations

from .ending import end_process
from .lifecycle import Lifecycle, without_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import _core
    from ..pool import DeclaredPool

__all__ = ["serve"]


def serve(worker: _core.Worker, pool: DeclaredPool) -> None:
    """Serves until the agent says stop.

    Raises:
        TargetError: The pool's class could not be started.
    """
    life = Lifecycle(worker, pool)
    handlers = without_loop(life.start())
    count = worker.ready(handlers, pool.sleeps)

    def carry_out(level: int) -> None:
        without_loop(life.carry_out(level))

    if count == 1:
        worker.serve(carry_out)
    elif count is not None:
        _serve_on_threads(worker, count, carry_out)
    without_loop(life.stop())


def _serve_on_threads(worker: _core.Worker, count: int, carry_out: Callable[[int], None]) -> None:
    import threading

    def serve_on_one() -> None:
        try:
            worker.serve(carry_out)
        except BaseException as error:
            # A handler that exits means the process, whichever thread it is on.
            end_process(error)

    others = [threading.Thread(target=serve_on_one, name=f"handler-{number}") for number in range(1, count)]
    for thread in others:
        thread.start()
    serve_on_one()
    for thread in others:
        thread.join()
