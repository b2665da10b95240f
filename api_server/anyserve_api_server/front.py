"""What every request passes before the routes: limits, counts, and the short way of `GET /route`."""

from __future__ import annotations

import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError, error_response
from .lookup import find_route
from .services import Services
from .settings import MAX_REGISTRATION_BYTES

__all__ = ["Front"]

_JSON = [(b"content-type", b"application/json")]
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = frozenset({*_SAFE, "POST", "PUT", "DELETE", "PATCH"})


class Front:
    """Around the application."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._registry = services.registry
        self._measures = services.measures
        self._max_message_size = services.settings.max_message_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            # A client that left before the answer began has no status.
            self._measures.count(_route_of(scope), method, status or 499, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] == "/route" and scope["method"] == "GET":
                # Asked for each request of a client that keeps nothing: the framework would take most of the time.
                await _send_json(send, find_route(self._registry, scope["query_string"]))
                return
            if scope["method"] not in _SAFE:
                _refuse_other_sites(scope)
                _refuse_compression(scope)
                receive = self._limited(scope, receive)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Reads no more of a body than may be.

        Raises:
            ApiError: The body says that it is longer.
        """
        small = scope["path"] == "/register" or scope["path"].startswith("/replicas")
        limit, name = (MAX_REGISTRATION_BYTES, "") if small else (self._max_message_size, " (--max-message-size)")
        message = f"the body is over the limit of {limit} bytes{name}"
        close = {"connection": "close"}
        length = _header(scope, b"content-length")
        if length.isdigit() and int(length[:20]) > limit:
            raise ApiError(413, message, close)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            received: dict[str, Any] = dict(await receive())
            seen += len(received.get("body", b""))
            if seen > limit:
                # The one exception that the framework passes on from here.
                raise HTTPException(413, message, close)
            return received

        return counted


async def _send_json(send: Send, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [*_JSON, length]})
    await send({"type": "http.response.body", "body": body})


def _refuse_other_sites(scope: Scope) -> None:
    """A page of another site may not change anything here through its reader's browser."""
    origin = _header(scope, b"origin").decode("latin-1")
    if origin and origin.partition("://")[2] != _header(scope, b"host").decode("latin-1"):
        raise ApiError(403, f"requests from pages of {origin[:100]} are not taken")


def _refuse_compression(scope: Scope) -> None:
    encoding = _header(scope, b"content-encoding").decode("latin-1")
    if encoding not in ("", "identity"):
        message = f"the body is compressed by {encoding[:100]}; send it as it is"
        raise ApiError(415, message, {"accept-encoding": "identity"})


def _header(scope: Scope, name: bytes) -> bytes:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), b"")


def _route_of(scope: Scope) -> str:
    """The template of the route, such as ``/replicas/{replica_id}``: paths are anybody's, and without number."""
    if scope["path"] == "/route":
        return "/route"
    route = scope.get("route")
    return getattr(route, "path", "other")
