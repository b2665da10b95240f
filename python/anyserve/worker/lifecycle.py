"""The life of a worker: its instance is made and started, sleeps and wakes, and stops."""

from __future__ import annotations

import sys

from .failures import failed, summary, users_traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from .. import _core
    from ..handlers import Handler
    from ..pool import DeclaredPool
    from ..worker_class import Worker

__all__ = ["Lifecycle", "without_loop"]

# What means the process, not the hook; asyncio's CancelledError is none of these.
_THE_PROCESS = (SystemExit, KeyboardInterrupt, GeneratorExit)


class Lifecycle:
    """Calls the hooks of a pool's class; functions have none.

    Its methods are coroutines for the sake of async hooks; without an event loop, :func:`without_loop` runs them.
    """

    def __init__(self, worker: _core.Worker, pool: DeclaredPool) -> None:
        self._worker = worker
        self._pool = pool
        self._instance: Worker | None = None

    async def start(self) -> list[Handler]:
        """Makes the instance and calls its ``on_start``; returns the handlers, which are ready to be called.

        Raises:
            TargetError: The user's code raised, whatever it was.
        """
        handlers = self._pool.handlers
        if self._pool.worker_class is None:
            return list(handlers)
        name = self._pool.worker_class.__qualname__
        try:
            instance = self._pool.worker_class()
        except BaseException as error:
            raise failed(f"making a {name}", error) from None
        try:
            await self._call(instance.on_start)
        except BaseException as error:
            raise failed(f"{name}.on_start", error) from None
        self._instance = instance
        return [handler._replace(function=instance.handle) for handler in handlers]

    async def carry_out(self, level: int) -> None:
        """Sleeps at that level, or wakes at level 0, and tells the agent how it went.

        SystemExit and the like go on to end the process, as they do from a handler.
        """
        if self._instance is not None:
            name = type(self._instance).__qualname__
            try:
                if level:
                    await self._call(self._instance.on_sleep, level)
                else:
                    await self._call(self._instance.on_wake)
            except _THE_PROCESS:
                raise
            except BaseException as error:
                text = users_traceback(error)
                hook = f"{name}.{'on_sleep' if level else 'on_wake'}"
                print(f"{hook} failed:\n{text}", end="", file=sys.stderr, flush=True)
                self._worker.settled(f"{hook} raised {summary(error)}", text)
                return
        self._worker.settled()

    async def stop(self) -> None:
        """Calls ``on_stop``; what it raises is printed."""
        if self._instance is None:
            return
        try:
            await self._call(self._instance.on_stop)
        except _THE_PROCESS:
            raise
        except BaseException as error:
            name = type(self._instance).__qualname__
            print(f"{name}.on_stop failed:\n{users_traceback(error)}", end="", file=sys.stderr, flush=True)

    async def _call(self, hook: Callable[..., Any], *arguments: int) -> None:
        result = hook(*arguments)
        if hasattr(result, "__await__"):
            if not self._pool.is_async:
                kind = type(result).__name__
                raise TypeError(f"it returned a {kind}; where handle is not async there is no event loop to await it")
            await result


def without_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("only async hooks wait, and they have a loop")
