"""A fleet of real processes: replicas that register, and gateways before them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from anyserve import Client
from tritonclient.grpc import InferenceServerClient

from tests.metrics import Metrics
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

LEASE = 2
"""Seconds after which a replica is gone that says nothing any more."""


class Gateway(Server):
    """``anyserve gateway``; ``target`` is its first option."""

    COMMAND = "gateway"

    def passed_on(self, replica: str, outcome: str = "ok") -> float:
        """How many requests a replica has ended so."""
        return Metrics(self).value("delegated_requests_total", replica=replica, outcome=outcome)

    def wait_knows(self, *models: str) -> Self:
        """Waits until somebody is known who serves each of these models."""
        with InferenceServerClient(self.address) as triton:
            for model in models:
                eventually(partial(triton.is_model_ready, model), f"{model} is known")
        return self

    def wait_replicas(self, count: int) -> Self:
        """Waits until so many replicas are known, of which each gateway is one."""
        metrics = Metrics(self)
        eventually(lambda: metrics.value("registry_replicas") == count, f"{count} replicas are known")
        return self


class Fleet:
    """Starts replicas and gateways that are told of one registry by these options; all end with the stack."""

    def __init__(self, stack: ExitStack, *registry: str) -> None:
        self._stack = stack
        self._registry = registry

    def replica(self, target: str, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Server:
        """An agent that serves an application and registers as ``name``."""
        server = Server(target, *self.options(name), *arguments, environment=environment)
        return self._stack.enter_context(server).wait_ready()

    def gateway(self, *arguments: str, name: str = "gateway") -> Gateway:
        """An agent without workers."""
        return self._stack.enter_context(Gateway(*self.options(name), *arguments)).wait_ready()

    def client(self, server: Server, *, shared_memory: bool = False) -> Client:
        """A client of one of them."""
        return self._stack.enter_context(Client(server.address, shared_memory=shared_memory))

    def options(self, name: str) -> list[str]:
        """What makes an agent a replica of this fleet."""
        return [*self._registry, "--replica-id", name, "--lease", str(LEASE)]
