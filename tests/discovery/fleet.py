"""Replicas of tests.apps.replicated behind an API server, and load on them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from anyserve import Client

from tests.server import Server
from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from types import TracebackType

    from tests.api_server.process import ApiServer

LEASE = 3
"""Seconds: short enough to wait for, and long enough for a busy machine to renew it."""


class Fleet:
    """Replicas by name; they end with the stack."""

    def __init__(self, stack: ExitStack, api: ApiServer) -> None:
        self._stack = stack
        self.api = api
        self.replicas: dict[str, Server] = {}

    def start(self, *names: str, extra: str = "") -> None:
        """Starts replicas, and waits until the API server knows what they offer."""
        for name in names:
            options = ["--api-server", self.api.url, "--replica-id", name, "--lease", str(LEASE)]
            environment = {"REPLICA": name, "EXTRA": extra}
            server = Server("tests.apps.replicated:app", *options, environment=environment)
            self.replicas[name] = self._stack.enter_context(server)
        for name in names:
            self.replicas[name].wait_ready()
        eventually(lambda: set(names) <= set(self.api.ids(type="again")), f"{names} are registered")

    def client(self, **options: Any) -> Client:
        """A client that discovers; closed with the stack."""
        return self._stack.enter_context(Client(api_server=self.api.url, **options))

    def restart_api(self, start: Callable[[int], ApiServer]) -> None:
        """Another API server in place of the one that was killed."""
        self.api = self._stack.enter_context(start(self.api.port))


class Load:
    """Threads that send one request after the other, until the ``with`` ends."""

    def __init__(self, client: Client, model: str, threads: int = 4, **options: Any) -> None:
        self._client, self._model, self._options = client, model, {"timeout": PATIENCE, **options}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        """Answers by replica."""
        self.errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    @property
    def total(self) -> int:
        """How many answers there were."""
        with self._lock:
            return self.counts.total()

    def wait_more(self, count: int = 200, replica: str | None = None) -> None:
        """Waits for so many answers more, of that replica."""

        def seen() -> int:
            with self._lock:
                return self.counts.total() if replica is None else self.counts[replica]

        before = seen()
        eventually(lambda: seen() >= before + count or self.errors, f"{count} answers more")

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                result = self._client.infer(self._model, **self._options)
            except Exception as error:
                with self._lock:
                    self.errors.append(error)
            else:
                with self._lock:
                    self.counts[result["replica"][0].decode()] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive(), "a request hangs"
