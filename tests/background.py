"""Requests that run while the test goes on."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from anyserve import Client, InferResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self


class Background:
    """Sends each request from a thread of its own."""

    def __init__(self, address: str) -> None:
        self._client = Client(address)
        self._threads = ThreadPoolExecutor(64)

    def infer(
        self, model_name: str, parameters: Mapping[str, Any] | None = None, **options: Any
    ) -> Future[InferResult]:
        """Sends a request."""
        return self._threads.submit(self._client.infer, model_name, parameters=parameters, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What still runs ends at the latest with its server.
        self._threads.shutdown(wait=False, cancel_futures=True)


def pid_of(result: InferResult) -> int:
    """The process that answered, with a handler of tests.apps.gated."""
    [pid] = np.asarray(result["pid"]).tolist()
    return int(pid)
