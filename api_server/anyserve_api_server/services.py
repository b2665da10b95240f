"""What the routes share."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from anyserve._core import Registry

from .console import Collector
from .fleet import Fleet
from .forward import Forwarder
from .measures import Measures
from .registrations import Registrations
from .settings import Settings

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """One of each for a server."""

    settings: Settings
    registry: Registry
    fleet: Fleet
    registrations: Registrations
    forwarder: Forwarder
    measures: Measures
    console: Collector
    stopping: asyncio.Event
    """Set when the server stops: streams end then."""
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, settings: Settings) -> Services:
        """Those of a server with these settings.

        Raises:
            ValueError: The URL names no registry.
        """
        registry = Registry(settings.registry)
        in_memory = settings.registry.startswith("memory:")
        fleet = Fleet(registry, settings.max_watchers, settings.settle_time if in_memory else 0.0)
        stopping = asyncio.Event()
        registrations = Registrations(registry, fleet, settings.max_replicas, stopping)
        measures = Measures(registry, fleet, registrations)
        forwarder = Forwarder(registry)
        console = Collector(fleet, forwarder.clients)
        return cls(settings, registry, fleet, registrations, forwarder, measures, console, stopping)

    @property
    def registry_name(self) -> str:
        """The registry's URL, without a password."""
        scheme, found, rest = self.settings.registry.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if found else self.settings.registry
