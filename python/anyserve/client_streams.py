"""The results of one request, as they come to a client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self

from . import _core
from .results import InferResult

__all__ = ["AsyncResultStream", "ResultStream"]


class ResultStream(Iterator[InferResult]):
    """The results of one request, as they come. Closing it, or leaving its ``with`` block, cancels the request."""

    def __init__(self, responses: _core.ResponseStream) -> None:
        self._responses = responses

    def __next__(self) -> InferResult:
        response = self._responses.next()
        if response is None:
            raise StopIteration
        return InferResult(response)

    def close(self) -> None:
        """Takes no more results; cancels the request if it has not ended."""
        self._responses.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncResultStream(AsyncIterator[InferResult]):
    """The asyncio twin of :class:`ResultStream`. The request is sent when the first result is asked for."""

    def __init__(self, send: Callable[[], Awaitable[_core.ResponseStream]]) -> None:
        self._send = send
        self._responses: _core.ResponseStream | None = None
        self._sending = False
        self._closed = False

    async def __anext__(self) -> InferResult:
        if self._closed:
            raise StopAsyncIteration
        if self._responses is None:
            if self._sending:
                raise RuntimeError("another task is waiting for the first result of this stream")
            self._sending = True
            try:
                self._responses = await self._send()
            finally:
                self._sending = False
            if self._closed:
                self._responses.close()
        response = await self._responses.next_async()
        if response is None:
            raise StopAsyncIteration
        return InferResult(response)

    async def close(self) -> None:
        """Takes no more results; cancels the request if it has not ended."""
        self._closed = True
        if self._responses is not None:
            self._responses.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
