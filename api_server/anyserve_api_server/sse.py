"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .settings import KEEP_ALIVE

__all__ = ["EventStream", "event"]

COMMENT = b":\n\n"
PIECE = 64 << 10
"""Long events are sent in pieces, so that no more than that waits for a client that is slow."""


def event(data: bytes | Any, name: str = "") -> bytes:
    """One event. Data that is not bytes already is written as JSON, which has no line breaks."""
    body = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    head = f"event: {name}\n".encode() if name else b""
    return b"%bdata: %b\n\n" % (head, body)


class EventStream(Response):
    """Sends what ``events`` yields until it ends, the client goes, or ``stopping`` is set; calls ``close`` then, which
    may be a coroutine function.

    Where nothing is yielded for a while, a comment says that the stream is alive. What ``events`` waits for is
    cancelled when the client goes.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], stopping: asyncio.Event, close: Callable[[], object]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._stopping = stopping
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        over = [asyncio.create_task(_gone(receive)), asyncio.create_task(self._stopping.wait())]
        upcoming: asyncio.Task[bytes | None] | None = None
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while True:
                upcoming = upcoming or asyncio.create_task(_next(self._events))
                done, _ = await asyncio.wait({upcoming, *over}, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
                if upcoming in done:
                    text, upcoming = upcoming.result(), None
                    if text is None:
                        break
                    await _send(send, text)
                elif done:
                    break
                else:
                    await _send(send, COMMENT)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await _cancel(*over, *([upcoming] if upcoming else []))
            closing = self._close()
            if isinstance(closing, Awaitable):
                await closing


async def _send(send: Send, text: bytes) -> None:
    for start in range(0, len(text), PIECE):
        await send({"type": "http.response.body", "body": text[start : start + PIECE], "more_body": True})


async def _next(events: AsyncIterator[bytes]) -> bytes | None:
    """The next event; None at the end, which a task cannot tell by StopAsyncIteration."""
    return await anext(events, None)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
