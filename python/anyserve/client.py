"""Clients for an anyserve agent, or any other KServe v2 gRPC server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from . import _core
from .client_objects import AsyncClientObjects, ClientObjects
from .kserve import ModelInferRequest
from .requests import make_request
from .results import InferResult

__all__ = ["AsyncClient", "AsyncResultStream", "Client", "InferResult", "ResultStream"]


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


class _Base:
    def __init__(self, endpoint: str, shared_memory: bool) -> None:
        socket = _shared_memory_socket(endpoint) if shared_memory else None
        self._core: _core.Client | None = _core.Client(endpoint, socket)
        self._endpoint = self._core.endpoint
        self._shared_memory = shared_memory

    @property
    def endpoint(self) -> str:
        """Where the server is: ``HOST:PORT``."""
        return self._endpoint

    def _open(self) -> _core.Client:
        if self._core is None:
            raise RuntimeError("the client is closed")
        return self._core

    def _make(self, core: _core.Client, *arguments: Any) -> ModelInferRequest:
        """A request; its large inputs are copied once, to where they are sent from."""
        if self._shared_memory:
            return core.prepare(lambda: make_request(*arguments))
        return make_request(*arguments)


class Client(_Base):
    """A blocking client. Connects at the first call; may be shared by threads, but not across a fork.

    Args:
        endpoint: ``HOST:PORT`` of the server's gRPC port.
        shared_memory: Tensors of 256 KiB and more are not sent, to :meth:`infer` and :meth:`stream`, but lie in memory
            that the agent shares with this process. It has to be on this machine, and of this user; if it is not, the
            first call raises FailedPreconditionError or UnavailableError. Arrays of results may be such memory: the
            agent has it back once they are gone.
    """

    def __init__(self, endpoint: str = "localhost:8000", *, shared_memory: bool = False) -> None:
        super().__init__(endpoint, shared_memory)
        self.objects = ClientObjects(lambda: self._open().objects)
        """The objects of the agent: large data that is passed by reference."""

    def infer(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> InferResult:
        """Sends one request and waits for its outputs.

        Args:
            model_name: Stands for the capability ``{model: NAME}`` if there is one, else ``{type: NAME}``.
            inputs: Tensors by name: numpy arrays, lists or scalars of numbers, bools, str or bytes, a :class:`Tensor`
                or an :class:`anyserve.ObjectRef`. Lists of int become INT64, of float FP64, of str and bytes BYTES;
                give a ``Tensor(name, data, datatype=...)`` for another datatype.
            capability: What the request wants, instead of what the model name stands for.
            timeout: Seconds to wait; the server gives up then too.
            parameters: The request's parameters: bool, int, float or str.
            model_version: Adds ``version`` to what the model name stands for.
            request_id: Comes back in the response.
            outputs: The names of the outputs to send back; all if empty.

        Raises:
            RequestError: One of its classes in :mod:`anyserve.errors`, for what went wrong.
            ValueError, TypeError: An input cannot be a tensor.
        """
        core = self._open()
        request = self._make(core, model_name, model_version, request_id, inputs, parameters, outputs)
        return InferResult(core.infer(request, _dict(capability), timeout))

    def stream(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> ResultStream:
        """Sends one request and returns its results one by one, as they come.

            for result in client.stream("chat", {"text": ["hello"]}):
                print(result["text"])

        Arguments as in :meth:`infer`; ``timeout`` holds for the stream as a whole. Errors are raised where the results
        are taken: those before the error have been received. A handler with one response can be called like this too.
        """
        core = self._open()
        request = self._make(core, model_name, model_version, request_id, inputs, parameters, outputs)
        return ResultStream(core.stream(request, _dict(capability), timeout))

    def is_ready(self, model_name: str | None = None, *, timeout: float | None = None) -> bool:
        """True if a worker is ready, for the model if one is named. Raises UnavailableError if no server answers."""
        if model_name is None:
            return self._open().is_server_ready(timeout)
        return self._open().is_model_ready(model_name, timeout)

    def close(self) -> None:
        """Lets go of the connection; the client cannot be used afterwards."""
        self._core = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Base):
    """The asyncio twin of :class:`Client`.

    Args:
        endpoint: ``HOST:PORT`` of the server's gRPC port.
        shared_memory: As for :class:`Client`.
    """

    def __init__(self, endpoint: str = "localhost:8000", *, shared_memory: bool = False) -> None:
        super().__init__(endpoint, shared_memory)
        self.objects = AsyncClientObjects(lambda: self._open().objects)
        """The objects of the agent: large data that is passed by reference."""

    async def infer(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> InferResult:
        """Sends one request and awaits its outputs; arguments and errors as in :meth:`Client.infer`.

        Cancelling the task cancels the request.
        """
        core = self._open()
        request = self._make(core, model_name, model_version, request_id, inputs, parameters, outputs)
        return InferResult(await core.infer_async(request, _dict(capability), timeout))

    def stream(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> AsyncResultStream:
        """Sends one request and yields its results, as they come. Arguments and errors as in :meth:`Client.stream`.

            async for result in client.stream("chat", {"text": ["hello"]}):
                print(result["text"])

        Leaving the loop early does not cancel the request: close the stream, or use it in an ``async with`` block.
        """
        core = self._open()
        request = self._make(core, model_name, model_version, request_id, inputs, parameters, outputs)
        return AsyncResultStream(lambda: core.stream_async(request, _dict(capability), timeout))

    async def close(self) -> None:
        """Lets go of the connection; the client cannot be used afterwards."""
        self._core = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _shared_memory_socket(endpoint: str) -> str:
    """Where an agent of this user on this machine, whose gRPC port that is, shares memory."""
    # Few need it, and a client should be there at once.
    from .cli.folders import shared_memory_socket

    port = endpoint.rpartition(":")[2]
    # What is no port is refused with the endpoint.
    return str(shared_memory_socket(int(port) if port.isdecimal() else 0))


def _dict(mapping: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if mapping is None else dict(mapping)
