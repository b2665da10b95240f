"""Requests for replicas, on behalf of those who speak plain HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from anyserve._core import Client, ModelInferRequest, ModelInferResponse, Registry
from anyserve.errors import CapabilityError, NotFoundError, UnavailableError

from .errors import ApiError
from .lookup import Query
from .settings import CLIENT_POOL_SIZE

__all__ = ["Clients", "Forwarder"]

Tensor = tuple[str, str, list[int]]
"""The name, the datatype and the shape of a declared tensor."""

METADATA_TIMEOUT = 5.0
"""Seconds until a replica must have said what a model's inputs are."""

NOT_CONNECTED = ("Connection refused", "No route to host", "Network is unreachable", "lookup address", "Host is down")
"""What the system says where there is no connection."""

MAX_TRIES = 3
"""Replicas that are asked for one request, where those before could not be reached."""


class Clients:
    """Connections to replicas: those used last are kept."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, Client] = OrderedDict()

    def get(self, endpoint: str) -> Client:
        """The one to a replica. Those that are in use go on when they are kept no longer."""
        client = self._clients.get(endpoint)
        if client is None:
            client = self._clients[endpoint] = Client(endpoint)
            if len(self._clients) > CLIENT_POOL_SIZE:
                self._clients.popitem(last=False)
        self._clients.move_to_end(endpoint)
        return client


class Forwarder:
    """Sends requests to replicas that match.

    Of two replicas that match it takes the one that has fewer requests from here. A request goes to another replica
    only if the first could not be reached: it has not begun then.
    """

    def __init__(self, registry: Registry) -> None:
        self.clients = Clients()
        self._registry = registry
        self._outstanding: Counter[str] = Counter()

    def of_model(self, name: str, version: str = "") -> Query:
        """What a model's name stands for in this fleet, as in an agent: a model if there is one, else a type."""
        query: Query = {"model": name}
        if not self.serves(query):
            query = {"type": name}
        return {**query, "version": version} if version else query

    def serves(self, query: Query) -> bool:
        """Whether a replica matches.

        Raises:
            ApiError: It is no query.
        """
        return self._route(query, []) is not None

    async def infer(self, query: Query, request: ModelInferRequest) -> ModelInferResponse:
        """Sends a request and awaits its answer; cancelling cancels it.

        Raises:
            ApiError: It is no query.
            RequestError: No replica matches, or what the replica said, or the last one could not be reached.
        """
        tried = _Tried()
        while True:
            with self._next(query, tried) as client:
                try:
                    return await client.infer_async(request, dict(query))
                except UnavailableError as error:
                    tried.failed(error)

    async def stream(self, query: Query, request: ModelInferRequest) -> AsyncGenerator[ModelInferResponse, None]:
        """Sends a request and yields its answers, as they come; cancelling cancels it. Raises as :meth:`infer`."""
        tried = _Tried()
        while True:
            with self._next(query, tried) as client:
                try:
                    responses = await client.stream_async(request, dict(query))
                    response = await responses.next_async()
                except UnavailableError as error:
                    tried.failed(error)
                    continue
                try:
                    while response is not None:
                        yield response
                        response = await responses.next_async()
                    return
                finally:
                    responses.close()

    async def metadata(self, query: Query, model: str) -> tuple[list[Tensor], list[Tensor]]:
        """The declared inputs and outputs of a model that a query stands for. Raises as :meth:`infer`."""
        tried = _Tried()
        while True:
            with self._next(query, tried) as client:
                try:
                    return await asyncio.to_thread(client.model_metadata, model, METADATA_TIMEOUT)
                except UnavailableError as error:
                    tried.failed(error)

    def no_match(self, query: Query) -> NotFoundError:
        """The error that says that no replica matches."""
        return NotFoundError(self._registry.explain_no_match(dict(query)))

    @contextmanager
    def _next(self, query: Query, tried: _Tried) -> Iterator[Client]:
        """The next replica to ask, which counts as busy meanwhile."""
        replica = self._pick(query, tried.ids)
        if replica is None:
            raise tried.error or self.no_match(query)
        tried.ids.append(replica["replica_id"])
        endpoint = replica["endpoint"]
        self._outstanding[endpoint] += 1
        try:
            yield self.clients.get(endpoint)
        finally:
            self._outstanding[endpoint] -= 1
            if not self._outstanding[endpoint]:
                del self._outstanding[endpoint]

    def _pick(self, query: Query, exclude: list[str]) -> dict[str, str] | None:
        one, other = self._route(query, exclude), self._route(query, exclude)
        if one is None or other is None:
            return one
        return min(one, other, key=lambda replica: self._outstanding[replica["endpoint"]])

    def _route(self, query: Query, exclude: list[str]) -> dict[str, str] | None:
        try:
            return self._registry.route(dict(query), exclude)
        except CapabilityError as error:
            raise ApiError(400, str(error)) from error


class _Tried:
    """The replicas that one request was sent to."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.error: UnavailableError | None = None

    def failed(self, error: UnavailableError) -> None:
        """The last one failed; raises the error again unless another replica may be asked."""
        if not _was_not_reached(error) or len(self.ids) >= MAX_TRIES:
            raise error
        self.error = error


def _was_not_reached(error: UnavailableError) -> bool:
    """Whether no connection was made. One that broke later may have brought the request, which may have begun."""
    return any(sign in str(error) for sign in NOT_CONNECTED)
