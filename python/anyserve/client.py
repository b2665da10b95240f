"""Clients for an anyserve agent, or any other KServe v2 gRPC server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from .client_base import BaseClient
from .client_objects import AsyncClientObjects, ClientObjects
from .client_streams import AsyncResultStream, ResultStream
from .results import InferResult

__all__ = ["AsyncClient", "AsyncResultStream", "Client", "InferResult", "ResultStream"]


class Client(BaseClient):
    """A blocking client. Connects at the first call; may be shared by threads, but not across a fork.

    With ``endpoint`` it sends everything there. With ``api_server`` or ``registry`` it discovers: as long as it is open
    it knows which replicas offer what, and sends each request straight to one of them (docs/clients.md).

    Args:
        endpoint: ``HOST:PORT`` of a server's gRPC port; ``localhost:8000`` if nothing else is given.
        api_server: ``http://HOST:PORT`` of an API server, or several with commas between them.
        registry: The registry itself instead: ``etcd://HOST:PORT``.
        capability: What requests want that do not say it by themselves; in place of what their model name stands for.
        policy: How one of several replicas is chosen: ``power_of_two`` (of two by chance, the one with fewer requests
            under way from here), ``round_robin``, ``least_outstanding`` or ``consistent_hash``.
        hash_on: For ``consistent_hash``: ``parameter:NAME`` or ``header:NAME``. Requests that are alike there go to the
            same replica, unless that has over 1.25 times its share.
        retry_on_failure: Send a request to another replica although one may have begun it: the connection broke, or it
            said UNAVAILABLE. Without it, only what no replica can have begun, or is idempotent, is sent again.
        shared_memory: Tensors of 256 KiB and more are not sent, to :meth:`infer` and :meth:`stream`, but lie in memory
            that the agent shares with this process. It has to be on this machine, and of this user; if it is not, the
            first call raises FailedPreconditionError or UnavailableError. Arrays of results may be such memory: the
            agent has it back once they are gone. Goes with ``endpoint`` only.

    Raises:
        ValueError: The arguments do not go together; the message says how.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        api_server: str | None = None,
        registry: str | None = None,
        capability: Mapping[str, Any] | None = None,
        policy: str = "power_of_two",
        hash_on: str | None = None,
        retry_on_failure: bool = False,
        shared_memory: bool = False,
    ) -> None:
        super().__init__(endpoint, api_server, registry, capability, policy, hash_on, retry_on_failure, shared_memory)
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
        headers: Mapping[str, str] | None = None,
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
            capability: What the request wants, instead of what the model name stands for, or of the client's own.
            timeout: Seconds to wait; the server gives up then too.
            parameters: The request's parameters: bool, int, float or str.
            headers: Sent beside the request, as gRPC metadata.
            model_version: Adds ``version`` to what the model name stands for.
            request_id: Comes back in the response.
            outputs: The names of the outputs to send back; all if empty.

        Raises:
            RequestError: One of its classes in :mod:`anyserve.errors`, for what went wrong.
            ValueError, TypeError: An input cannot be a tensor.
        """
        request = self._make(model_name, model_version, request_id, inputs, parameters, outputs)
        return InferResult(self._open().infer(request, self._wanted(capability), timeout, headers))

    def stream(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
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
        request = self._make(model_name, model_version, request_id, inputs, parameters, outputs)
        return ResultStream(self._open().stream(request, self._wanted(capability), timeout, headers))

    @property
    def endpoint(self) -> str:
        """``HOST:PORT`` of where the last request went; before the first, of where it may go, once that is known."""
        return self._place()[0]

    @property
    def replica_id(self) -> str | None:
        """The id of that replica; None of a client that was given its endpoint."""
        return self._place()[1]

    def is_ready(self, model_name: str | None = None, *, timeout: float | None = None) -> bool:
        """True if a worker is ready, for the model if one is named. Raises UnavailableError if no server answers."""
        if model_name is None:
            return self._open().is_server_ready(timeout)
        return self._open().is_model_ready(model_name, timeout)

    def close(self) -> None:
        """Lets go of the connections; the client cannot be used afterwards."""
        self._close()

    def _place(self) -> tuple[str, str | None]:
        place = self._known_place()
        if place is None:
            place = self._open().resolve()
            # Endpoint and id are of one replica, whichever is asked for first.
            self._note_place(place)
        return place

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(BaseClient):
    """The asyncio twin of :class:`Client`, with the same arguments."""

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        api_server: str | None = None,
        registry: str | None = None,
        capability: Mapping[str, Any] | None = None,
        policy: str = "power_of_two",
        hash_on: str | None = None,
        retry_on_failure: bool = False,
        shared_memory: bool = False,
    ) -> None:
        super().__init__(endpoint, api_server, registry, capability, policy, hash_on, retry_on_failure, shared_memory)
        self.objects = AsyncClientObjects(lambda: self._open().objects_async())
        """The objects of the agent: large data that is passed by reference."""

    async def infer(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> InferResult:
        """Sends one request and awaits its outputs; arguments and errors as in :meth:`Client.infer`.

        Cancelling the task cancels the request.
        """
        request = self._make(model_name, model_version, request_id, inputs, parameters, outputs)
        return InferResult(await self._open().infer_async(request, self._wanted(capability), timeout, headers))

    def stream(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
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
        request = self._make(model_name, model_version, request_id, inputs, parameters, outputs)
        wanted = self._wanted(capability)
        return AsyncResultStream(lambda: core.stream_async(request, wanted, timeout, headers))

    @property
    def endpoint(self) -> str | None:
        """``HOST:PORT`` of where the last request went; None before the first, unless there was :meth:`resolve`."""
        place = self._known_place()
        return place and place[0]

    @property
    def replica_id(self) -> str | None:
        """The id of that replica; None of a client that was given its endpoint."""
        place = self._known_place()
        return place and place[1]

    async def resolve(self, *, timeout: float | None = None) -> str:
        """Where the last request went, or where the first one may go, once that is known."""
        self._note_place(self._known_place() or await self._open().resolve_async(timeout))
        endpoint = self.endpoint
        assert endpoint is not None
        return endpoint

    async def close(self) -> None:
        """Lets go of the connections; the client cannot be used afterwards."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
