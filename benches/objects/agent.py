"""Our agents with the apps of this folder, and questions to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyserve
import numpy as np
from anyserve import AnyserveError, Client, InferResult

from benches import servers
from benches.objects.notes import AbsentError
from benches.processes import BenchError
from benches.servers import Server

__all__ = ["Agent", "require", "seconds", "serving"]

TIMEOUT_SECONDS = 120.0
NEEDED = ("ObjectRef", "call", "create", "create_empty", "delete", "get")


@dataclass(frozen=True)
class Agent:
    """One that is up."""

    server: Server
    client: Client

    def ask(self, model: str, inputs: Mapping[str, Any] | None = None, **parameters: int | str) -> InferResult:
        """One request."""
        try:
            return self.client.infer(model, inputs, parameters=parameters, timeout=TIMEOUT_SECONDS)
        except AnyserveError as error:
            raise BenchError(f"{self.server.name} fails at '{model}': {error}") from error


def require() -> None:
    """Sees that the installed build has an object system; an older one is told from one that fails."""
    missing = [name for name in NEEDED if not hasattr(anyserve, name)]
    if missing:
        raise AbsentError(f"the installed anyserve has no {', '.join(missing)}")


@contextlib.contextmanager
def serving(logs: Path, module: str, options: Sequence[str] = ()) -> Iterator[Agent]:
    """An agent with the ``app`` of a module of this folder."""
    require()
    logs.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(servers.anyserve(logs, f"objects.{module}", options)).server
        yield Agent(server, stack.enter_context(Client(f"127.0.0.1:{server.port}")))


def seconds(result: InferResult, name: str) -> float:
    """The median of the nanoseconds that an app has measured."""
    return float(np.median(result[name])) / 1e9
