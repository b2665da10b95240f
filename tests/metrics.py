"""The metrics of a server, read as Prometheus reads them."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.server import Server

Series = tuple[str, frozenset[tuple[str, str]]]
"""A sample's name and its labels."""


class Metrics:
    """What ``/metrics`` of a server says now, each time it is asked."""

    def __init__(self, server: Server) -> None:
        self.url = f"http://127.0.0.1:{server.metrics_port}/metrics"

    def page(self) -> str:
        """The whole text."""
        with urllib.request.urlopen(self.url, timeout=60) as response:
            text: str = response.read().decode()
        return text

    def samples(self) -> dict[Series, float]:
        """Every sample of the page."""
        families = text_string_to_metric_families(self.page())
        return {
            (sample.name, frozenset(sample.labels.items())): float(sample.value)
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """One sample, named without ``anyserve_``; 0 if it is not there."""
        return self.samples().get((f"anyserve_{name}", frozenset(labels.items())), 0.0)

    def of(self, name: str, kind: str, **labels: str) -> float:
        """The sample of the capability ``{type: KIND}``."""
        return self.value(name, capability=f"{{type: {kind}}}", **labels)

    def wait_waiting(self, kind: str, count: int) -> None:
        """Waits until so many requests wait for the capability ``{type: KIND}``."""
        eventually(lambda: self.of("queue_depth", kind) == count, f"{count} requests wait for {kind}")
