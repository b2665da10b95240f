"""Functions of the tests, run in workers: what a handler does is read where it is tested."""

from __future__ import annotations

import json
import os
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anyserve import Client, Context, InferResult

    from tests.server import Server

APP = "tests.objects.apps.remote:app"

PATIENCE = 60.0
"""Seconds for a request: far more than any of them needs on a busy machine."""

CONTEXT: ContextVar[Context] = ContextVar("context")
"""What the handler was given beside the request that the function runs for."""


class Remote:
    """A worker of tests.objects.apps.remote that runs what it is told.

    Args:
        infer: ``client.infer`` in a test; ``anyserve.call`` in a worker that has another one do something.
        name: The worker's model name.
    """

    def __init__(self, infer: Callable[..., InferResult], name: str) -> None:
        self._infer = infer
        self.name = name

    def run(self, function: Callable[..., Any], *arguments: Any, timeout: float = PATIENCE) -> Any:
        """What the function returns; arguments and results are JSON, or text where they are not."""
        return result_of(self.infer(function, *arguments, timeout=timeout))

    def infer(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        inputs: Mapping[str, Any] | None = None,
        timeout: float | None = PATIENCE,
        **options: Any,
    ) -> InferResult:
        """The same with tensors: with ``inputs`` the function gets the request first, and it may return a response."""
        parameters = parameters_of(function, *arguments, inputs=bool(inputs))
        return self._infer(self.name, inputs, parameters=parameters, timeout=timeout, **options)


@dataclass(frozen=True)
class Agent:
    """An agent of a test's own, whose workers do what the test says."""

    server: Server
    client: Client

    def worker(self, name: str) -> Remote:
        """The worker of that name."""
        return Remote(self.client.infer, name)

    def kill(self, name: str) -> int:
        """Kills the worker of that name; returns its process id. Another one takes its place."""
        pid = int(self.worker(name).run(os.getpid))
        next(worker for worker in self.server.workers() if worker.pid == pid).kill()
        eventually(lambda: not psutil.pid_exists(pid), "the worker is gone")
        return pid


def parameters_of(function: Callable[..., Any], *arguments: Any, inputs: bool = False) -> dict[str, Any]:
    """The parameters of a request that have a worker run it."""
    name = f"{function.__module__}:{function.__qualname__}"
    return {"function": name, "arguments": json.dumps(arguments, default=str), "inputs": inputs}


def result_of(result: InferResult) -> Any:
    """What the function returned."""
    return json.loads(str(result.response.parameters["result"]))
