"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from anyserve._core import Registry
from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from .fleet import Fleet
from .registrations import Registrations

__all__ = ["Measures"]

# A route is found in microseconds; what is passed on may take minutes.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Measures(Collector):
    """Counts requests, and says what the fleet is when it is asked."""

    def __init__(self, registry: Registry, fleet: Fleet, registrations: Registrations) -> None:
        self._registry = registry
        self._fleet = fleet
        self._registrations = registrations
        self._collectors = CollectorRegistry()
        self._requests = Counter(
            "anyserve_api_requests",
            "Requests that have ended, by route, method and status.",
            ["route", "method", "status"],
            registry=self._collectors,
        )
        self._seconds = Histogram(
            "anyserve_api_request_seconds",
            "From a request's head to the end of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self._collectors,
        )
        # Finding a series by its labels takes longer than counting.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._collectors.register(self)
        ProcessCollector(registry=self._collectors)
        PlatformCollector(registry=self._collectors)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request has ended. ``route`` is one of the server's templates, so that there are few."""
        key = (route, method, status)
        series = self._series.get(key)
        if series is None:
            series = (self._requests.labels(route, method, str(status)), self._seconds.labels(route))
            self._series[key] = series
        series[0].inc()
        series[1].observe(seconds)

    def page(self) -> bytes:
        """All of it, as OpenMetrics."""
        text: bytes = generate_latest(self._collectors)  # type: ignore[no-untyped-call]
        return text

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What is asked for when the page is."""
        for name, text, value in [
            ("replicas", "Replicas that are registered.", len(self._fleet)),
            ("registry_connected", "1 while the registry answers.", int(self._registry.is_connected())),
            ("watchers", "Readers of /watch.", self._fleet.watchers),
            ("registration_streams", "Replicas that are registered by a connection.", self._registrations.sessions),
        ]:
            yield GaugeMetricFamily(f"anyserve_api_{name}", text, value)
