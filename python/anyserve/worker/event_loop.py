"""Runs async handlers on one event loop, which reads the agent's messages itself.

Handlers of the same application that are not async run on threads beside the loop.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from .. import _core
from ..async_stream import AsyncStream
from ..awaiting import awaiting
from ..errors import ResourceExhaustedError, TargetError
from ..pool import DeclaredPool
from .ending import end_process
from .lifecycle import Lifecycle

__all__ = ["serve"]


def serve(worker: _core.Worker, pool: DeclaredPool) -> None:
    """Serves until the agent says stop.

    Raises:
        TargetError: The pool's class could not be started.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    life = Lifecycle(worker, pool)
    try:
        handlers = loop.run_until_complete(life.start())
        concurrency = worker.ready(handlers, pool.sleeps)
        if concurrency is not None:
            loop.run_until_complete(_Loop(worker, life, concurrency).serve())
        loop.run_until_complete(life.stop())
        loop.run_until_complete(loop.shutdown_asyncgens())
    except TargetError:
        raise
    except BaseException as error:
        # At once, and not by asyncio.run, which cancels what else runs: that is lost with the process, and may be
        # retried. Handlers on threads could hold the process up for as long as they like.
        end_process(error)


class _Loop:
    def __init__(self, worker: _core.Worker, life: Lifecycle, concurrency: int) -> None:
        self._worker = worker
        self._life = life
        self._concurrency = self._free = concurrency
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="handler")
        self._loop: asyncio.AbstractEventLoop
        # What runs, by the agent's numbers of its requests.
        self._tasks: dict[int, tuple[_core.Work, asyncio.Task[None]]] = {}
        # Streams that wait for their clients.
        self._closed_windows: dict[int, asyncio.Future[None]] = {}
        self._stopping = False
        # Carries out an order of the agent.
        self._settling: asyncio.Task[None] | None = None
        # More may have arrived than could be started.
        self._more = False
        self._stopped: asyncio.Future[None]

    async def serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        awaiting.use(self._loop)
        for descriptor in self._worker.lend_to_loop():
            self._loop.add_reader(descriptor, self._drain)
        # What came before the loop was watching.
        self._drain()
        await self._stopped
        self._threads.shutdown()

    def _drain(self) -> None:
        """Brings in what has arrived: all of it by one wake-up."""
        works, cancelled, opened, answered, level, self._stopping = self._worker.drain(self._free)
        # Whoever is done first looks for the rest.
        self._more = len(works) == self._free
        for request in opened:
            window = self._closed_windows.pop(request, None)
            if window is not None and not window.done():
                window.set_result(None)
        for request in cancelled:
            self._cancel(request)
        awaiting.tell(answered)
        for work in works:
            self._start(work)
        if level is not None:
            self._settling = self._loop.create_task(self._settle(level))
        if self._stopping:
            self._stop_if_done()

    async def _settle(self, level: int) -> None:
        try:
            await self._life.carry_out(level)
        except BaseException as error:
            end_process(error)
        finally:
            self._settling = None
            if self._stopping:
                self._stop_if_done()

    def _start(self, work: _core.Work) -> None:
        self._free -= 1
        if not work.is_async:
            future = self._loop.run_in_executor(self._threads, work.run)
            future.add_done_callback(self._thread_ended)
            return
        task = self._loop.create_task(self._run(work))
        for request in work.ids:
            self._tasks[request] = (work, task)

    async def _run(self, work: _core.Work) -> None:
        try:
            if work.streams:
                await self._stream(work)
            else:
                work.answer(await work.call())
        except asyncio.CancelledError:
            work.cancel()
        except Exception as error:
            work.fail(error)
        except BaseException as error:
            # At once: what else runs here is not cancelled, but lost with the process, and may be retried.
            end_process(error)
        finally:
            self._ended(work)

    async def _stream(self, work: _core.Work) -> None:
        if work.yields:
            async with aclosing(work.call()) as responses:
                async for response in responses:
                    await self._send(work, response)
            work.finish(None)
        else:
            stream = AsyncStream(lambda response: self._send(work, response), work.close)
            work.finish(await work.call(stream))

    async def _send(self, work: _core.Work, response: _core.ModelInferResponse) -> None:
        while not work.send(response):
            request = work.ids[0]
            window = self._closed_windows.get(request)
            if window is None:
                window = self._closed_windows[request] = self._loop.create_future()
            limit = self._worker.stall_timeout
            # Other tasks of the handler may wait for the same window.
            done, _ = await asyncio.wait([window], timeout=limit)
            if not done:
                raise ResourceExhaustedError(
                    f"the client has taken nothing of the stream for {limit:g} s (--stream-stall-timeout)"
                )

    def _cancel(self, request: int) -> None:
        work, task = self._tasks.get(request, (None, None))
        # The others of a batch have done nothing wrong.
        if work is not None and task is not None and work.cancelled:
            task.cancel()

    def _thread_ended(self, future: asyncio.Future[None]) -> None:
        error = future.exception()
        if error is not None:
            end_process(error)
        self._free += 1
        self._take()

    def _ended(self, work: _core.Work) -> None:
        self._free += 1
        for request in work.ids:
            self._tasks.pop(request, None)
            self._closed_windows.pop(request, None)
        self._take()

    def _take(self) -> None:
        """Starts what arrived while everything was busy."""
        if self._more:
            works = self._worker.take(self._free)
            self._more = len(works) == self._free
            for work in works:
                self._start(work)
        if self._stopping:
            self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._free == self._concurrency and self._settling is None and not self._stopped.done():
            self._stopped.set_result(None)
