"""The server process: the socket, uvicorn, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator

import uvicorn
import uvloop
from anyserve.errors import ServeError

from .app import create_app
from .protocol import guarded
from .services import Services
from .settings import Settings

__all__ = ["bind", "serve"]

IDLE_TIMEOUT = 75
"""Seconds that a connection may have nothing to ask; longer than clients and proxies keep theirs, by habit."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ServeError: It cannot be had.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(infos[0][4][:2], family=infos[0][0], backlog=1024)
    except OSError as error:
        raise ServeError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def serve(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; then ends what is running, within the drain timeout.

    Raises:
        ServeError: The address cannot be had, or the URL names no registry.
    """
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # What strangers send that is no HTTP is answered, and not worth a line each.
    logging.getLogger("uvicorn.error").setLevel("ERROR")
    listener = bind(settings.host, settings.port)
    with contextlib.closing(listener), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> None:
    try:
        services = Services.of(settings)
    except ValueError as error:
        raise ServeError(str(error)) from error
    config = uvicorn.Config(
        create_app(services),
        http=guarded(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_TIMEOUT,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
    )
    await _Server(config, services).serve([listener])


class _Server(uvicorn.Server):
    """uvicorn's, which ends the streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stops at a signal, and sends it to itself no second time: to have been stopped is no failure."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets and not self.should_exit:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"ready: http://{shown}:{port}/ with the registry {self._services.registry_name}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.stopping.set()
        await super().shutdown(sockets)
