"""Callers that go on and on, and what became of their requests."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from anyserve import Client
from anyserve.errors import RequestError

from tests.waiting import eventually

if TYPE_CHECKING:
    from types import TracebackType


@dataclass
class Load:
    """Calls each capability from so many threads until the ``with`` ends, which waits for the last answers."""

    address: str
    capabilities: list[str]
    callers: int = 4
    seconds: float = 0.01
    answered: int = 0
    versions: set[str] = field(default_factory=set)
    failures: dict[int, tuple[str, RequestError]] = field(default_factory=dict)
    """By the number of the request: its capability and its error."""
    sent: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(capability,), daemon=True)
            for capability in self.capabilities
            for _ in range(self.callers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        if error is None:
            for thread in self._threads:
                thread.join(60)
                assert not thread.is_alive(), "a request does not end"

    def skip(self, count: int) -> None:
        """Numbers the requests from there on."""
        self._numbers = itertools.count(count)

    def wait_answered(self, more: int = 50) -> None:
        """Waits until so many more requests were answered."""
        goal = self.answered + more
        eventually(lambda: self.answered >= goal, "answers go on")

    def _call(self, capability: str) -> None:
        with Client(self.address) as client:
            while not self._stopped.is_set():
                self._call_once(client, capability)

    def _call_once(self, client: Client, capability: str) -> None:
        number = next(self._numbers)
        parameters = {"number": number, "do": "sleep", "seconds": str(self.seconds)}
        self.sent[number] = capability
        try:
            if capability.endswith("streamed"):
                assert len(list(client.stream(capability, parameters=parameters, timeout=60))) == 3
            else:
                result = client.infer(capability, parameters=parameters, timeout=60)
                self.versions.add(str(result.response.parameters.get("version", "")))
        except RequestError as error:
            self.failures[number] = (capability, error)
        else:
            self.answered += 1
