"""Calls: a handler has other workers do a part of its work.

    result = context.call("analyze", {"tokens": tokens})            # waits for the outputs
    result = await context.acall("analyze", {"tokens": tokens})     # in an async handler
    for part in context.stream("chat", {"text": ["hello"]}): ...    # as they come; `async for` too

A call goes to the agent over the connection that the worker has anyway. What holds for the handler's own request holds
for its calls: they end at its deadline, when its client leaves, and when its worker dies; they have its priority and
its trace context.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from . import _core
from .awaiting import awaiting
from .errors import InternalError
from .requests import make_request
from .results import InferResult

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CallStream", "acall", "call", "stream"]


class Caller:
    """Makes calls in the name of requests.

    Args:
        requests: The agent's numbers for them; None for those of the handler that runs.
    """

    __slots__ = ("_requests",)

    def __init__(self, requests: tuple[int, ...] | None) -> None:
        self._requests = requests

    def call(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> InferResult:
        """Has a request served by whoever offers what it asks for, and waits for its outputs.

        Large inputs that lie in shared memory already (inputs of the handler, objects, views of them) are not copied.
        In an async handler this holds the event loop up: use :meth:`acall` there.

        Args:
            model_name: Stands for the capability ``{model: NAME}`` if there is one, else ``{type: NAME}``.
            inputs: Tensors by name, as for :meth:`anyserve.Client.infer`.
            capability: What the request wants, instead of what the model name stands for.
            endpoint: ``HOST:PORT`` of the server to ask, instead of whoever serves it.
            timeout: Seconds to wait; the time that the handler's own request has left counts too.
            parameters: The request's parameters: bool, int, float or str. ``priority`` is that of the handler's own
                request if not given.
            model_version: Adds ``version`` to what the model name stands for.
            request_id: Comes back in the response.
            outputs: The names of the outputs to send back; all if empty.

        Raises:
            FailedPreconditionError: It could never run, because all who could serve it wait for calls themselves.
            CancelledError: (of anyserve.errors) Nobody waits for the handler's own request any longer.
            ResourceExhaustedError: 1024 calls of this worker are under way, or what it asks for has no room.
            UnavailableError: The ``endpoint`` cannot be reached, or the worker that had it died.
            RequestError: Another of its classes in :mod:`anyserve.errors`, for what went wrong.
            ValueError, TypeError: An input cannot be a tensor.
        """
        request = make_request(model_name, model_version, request_id, inputs, parameters, outputs, capability)
        return InferResult(_core.call(request, self._requests, timeout, endpoint))

    async def acall(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> InferResult:
        """Does what :meth:`call` does, and the event loop goes on meanwhile. Cancelling the task cancels the call."""
        request = make_request(model_name, model_version, request_id, inputs, parameters, outputs, capability)
        watched = awaiting.is_here()
        call = _core.Call(request, self._requests, timeout, endpoint, watched=watched)
        try:
            response = await (_watched(call) if watched else asyncio.to_thread(call.next))
        finally:
            # Nothing is left to cancel if it has ended.
            call.cancel()
        if response is None:
            raise InternalError("the agent ended a call without an answer")
        return InferResult(response)

    def stream(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> CallStream:
        """Has a request served that may have any number of responses; returns their results as they come.

        Arguments and errors as for :meth:`call`; ``timeout`` holds for the stream as a whole. Errors are raised where
        the results are taken: those before the error have been received. Who serves it waits while its results are not
        taken.
        """
        request = make_request(model_name, model_version, request_id, inputs, parameters, outputs, capability)
        watched = awaiting.is_here()
        call = _core.Call(request, self._requests, timeout, endpoint, stream=True, watched=watched)
        return CallStream(call, watched)


class CallStream(Iterator[InferResult], AsyncIterator[InferResult]):
    """The results of a call, as they come: for ``for`` and for ``async for``.

    Closing it, or leaving its ``with`` or ``async with`` block, cancels the call; so does letting go of it.
    """

    def __init__(self, call: _core.Call, watched: bool) -> None:
        self._call = call
        self._watched = watched
        # A thread that waits for the next result, where the event loop is not the worker's own.
        self._thread: asyncio.Future[_core.ModelInferResponse | None] | None = None

    def __next__(self) -> InferResult:
        response = self._call.next()
        if response is None:
            raise StopIteration
        return InferResult(response)

    async def __anext__(self) -> InferResult:
        if self._watched and awaiting.is_here():
            response = await _watched(self._call)
        else:
            if self._thread is None:
                self._thread = asyncio.ensure_future(asyncio.to_thread(self._call.next))
            try:
                # Who gives up waiting loses no result: the next one who waits gets it.
                response = await asyncio.shield(self._thread)
            finally:
                if self._thread.done():
                    self._thread = None
        if response is None:
            raise StopAsyncIteration
        return InferResult(response)

    def close(self) -> None:
        """Takes no more results; cancels the call if it has not ended."""
        self._call.cancel()
        # Whoever waits for it on the event loop.
        awaiting.wake(self._call.id)

    async def aclose(self) -> None:
        """The same, for :func:`contextlib.aclosing`."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


async def _watched(call: _core.Call) -> _core.ModelInferResponse | None:
    """The next response, on the event loop that is told of what comes."""
    while True:
        there, response = call.try_next()
        if there:
            return response
        await awaiting.wait(call.id)


_running = Caller(None)

call = _running.call
acall = _running.acall
stream = _running.stream
