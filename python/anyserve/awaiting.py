"""Coroutines that wait for calls, on the event loop that reads the agent's messages."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

__all__ = ["awaiting"]


class _Awaiting:
    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on this loop says what came: see :meth:`tell`."""
        self._loop = loop

    def is_here(self) -> bool:
        """Whether the coroutine that asks runs on that loop."""
        if self._loop is None:
            return False
        from asyncio import get_running_loop

        try:
            return get_running_loop() is self._loop
        except RuntimeError:
            return False

    async def wait(self, call: int) -> None:
        """Waits until something has come for a call."""
        assert self._loop is not None
        future = self._loop.create_future()
        self._waiting.setdefault(call, []).append(future)
        try:
            await future
        finally:
            waiting = self._waiting.get(call)
            if waiting is not None and future in waiting:
                # It was given up.
                waiting.remove(future)
                if not waiting:
                    del self._waiting[call]

    def tell(self, calls: Iterable[int]) -> None:
        """Something has come for these calls."""
        for call in calls:
            for future in self._waiting.pop(call, ()):
                if not future.done():
                    future.set_result(None)

    def wake(self, call: int) -> None:
        """The same from anywhere."""
        if self.is_here():
            self.tell([call])
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self.tell, [call])


awaiting = _Awaiting()
"""What the process waits for: a process is one worker, with one such loop."""
