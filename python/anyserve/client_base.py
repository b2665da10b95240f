"""What both clients have in common: where they send requests to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _core
from .kserve import ModelInferRequest
from .requests import make_request

__all__ = ["BaseClient"]

_DEFAULT_POLICY = "power_of_two"


class BaseClient:
    """Makes the client's core of what it is told, and lets go of it."""

    def __init__(
        self,
        endpoint: str | None,
        api_server: str | None,
        registry: str | None,
        capability: Mapping[str, Any] | None,
        policy: str,
        hash_on: str | None,
        retry_on_failure: bool,
        shared_memory: bool,
    ) -> None:
        places = {"endpoint": endpoint, "api_server": api_server, "registry": registry}
        given = [name for name, place in places.items() if place is not None]
        if len(given) > 1:
            raise ValueError(f"a client takes one of endpoint, api_server and registry, not {' and '.join(given)}")
        self._capability = None if capability is None else dict(capability)
        if self._capability is not None:
            # Said here, not by the first call.
            _core.Capability(self._capability)
        url = _api_servers(api_server) if api_server is not None else registry
        self._core: _core.Client | None
        if url is not None:
            if shared_memory:
                raise ValueError("shared_memory is for one agent, on this machine: give its endpoint")
            self._core = _core.Client.discover(url, self._capability, policy, hash_on, retry_on_failure)
            # The core adds it to the requests that say nothing themselves.
            self._capability = None
        else:
            if policy != _DEFAULT_POLICY or hash_on is not None or retry_on_failure:
                raise ValueError("policy, hash_on and retry_on_failure are for several replicas: give api_server")
            endpoint = "localhost:8000" if endpoint is None else endpoint
            self._core = _core.Client(endpoint, _shared_memory_socket(endpoint) if shared_memory else None)
        self._shared_memory = shared_memory
        self._last_place = self._core.place

    def _open(self) -> _core.Client:
        if self._core is None:
            raise RuntimeError("the client is closed")
        return self._core

    def _close(self) -> None:
        self._note_place(self._known_place())
        self._core = None

    def _make(self, *arguments: Any) -> ModelInferRequest:
        """A request; its large inputs are copied once, to where they are sent from."""
        # The core is no variable of any frame: an exception that somebody keeps would keep its connections open.
        if self._shared_memory:
            return self._open().prepare(lambda: make_request(*arguments))
        return make_request(*arguments)

    def _wanted(self, capability: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return self._capability if capability is None else dict(capability)

    def _known_place(self) -> tuple[str, str | None] | None:
        """Where the last request went; None if that is not known."""
        return (self._core and self._core.place) or self._last_place

    def _note_place(self, place: tuple[str, str | None] | None) -> None:
        self._last_place = place


def _api_servers(urls: str) -> str:
    for url in urls.split(","):
        if not url.strip().startswith("http://"):
            raise ValueError(f"api_server '{url}' is not http://HOST:PORT; several have commas between them")
    return urls


def _shared_memory_socket(endpoint: str) -> str:
    """Where an agent of this user on this machine, whose gRPC port that is, shares memory."""
    # Few need it, and a client should be there at once.
    from .cli.folders import shared_memory_socket

    port = endpoint.rpartition(":")[2]
    # What is no port is refused with the endpoint.
    return str(shared_memory_socket(int(port) if port.isdecimal() else 0))
