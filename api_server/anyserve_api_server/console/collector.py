"""Asks the replicas how they are, while somebody looks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from anyserve.errors import AnyserveError

from ..errors import ApiError
from ..fleet import Fleet, Replica
from ..forward import Clients
from ..settings import MAX_CONSOLES
from ..sse import event
from .summary import Rates, capabilities_of, cut, totals_of

__all__ = ["Collector"]

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two looks."""

TIMEOUT = 2.0
"""Seconds that a replica may take to answer."""

PARALLEL = 32
"""Replicas that are asked at a time."""

MAX_REPLICAS = 200
"""Replicas that are asked and shown; of others only the number."""

HISTORY = 300
"""Looks that are remembered, for the charts of a console that has just been opened."""


class Collector:
    """What consoles show. It asks the replicas only while a console is open.

    Args:
        fleet: The replicas.
        clients: The connections to them.
    """

    def __init__(self, fleet: Fleet, clients: Clients) -> None:
        self._fleet = fleet
        self._clients = clients
        self._rates = Rates()
        self._history: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._consoles = 0
        self._looking: asyncio.Task[None] | None = None
        self._state = b""
        self._looked = asyncio.Condition()

    @property
    def consoles(self) -> int:
        """How many are open."""
        return self._consoles

    def open(self) -> AsyncIterator[bytes]:
        """The events for one more console, which says so when it is closed.

        Raises:
            ApiError: Too many are open.
        """
        if self._consoles >= MAX_CONSOLES:
            message = f"{MAX_CONSOLES} consoles are open already; close one"
            raise ApiError(503, message, {"retry-after": "10"})
        self._consoles += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return self._events()

    def close(self) -> None:
        """A console is closed."""
        self._consoles -= 1
        if self._consoles == 0 and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _events(self) -> AsyncIterator[bytes]:
        """A console that is slow misses looks, and has never more than one waiting."""
        yield event({"points": list(self._history), "interval": INTERVAL}, "history")
        shown = -1
        while True:
            if shown != self._fleet.revision:
                shown = self._fleet.revision
                yield event(capabilities_of(self._fleet.replicas()), "capabilities")
            async with self._looked:
                await self._looked.wait()
            yield self._state

    async def _look(self) -> None:
        while True:
            started = time.monotonic()
            try:
                await self._look_once()
            except Exception:
                log.exception("the fleet could not be looked at")
            await asyncio.sleep(max(0.0, started + INTERVAL - time.monotonic()))

    async def _look_once(self) -> None:
        replicas = self._fleet.replicas()
        shown = replicas[:MAX_REPLICAS]
        gate = asyncio.Semaphore(PARALLEL)
        looks = await asyncio.gather(*(self._ask(replica, gate) for replica in shown))
        now = time.time()
        self._rates.update(looks, now)
        totals = totals_of(looks, len(replicas))
        point = {"time": now, **totals["point"]}
        self._history.append(point)
        state = {
            "time": now,
            "connected": self._fleet.is_connected(),
            "totals": totals,
            "point": point,
            "replicas": [cut(look) for look in looks],
            "more": len(replicas) - len(shown),
        }
        self._state = event(state, "state")
        async with self._looked:
            self._looked.notify_all()

    async def _ask(self, replica: Replica, gate: asyncio.Semaphore) -> dict[str, Any]:
        look: dict[str, Any] = {
            "replica_id": replica["replica_id"],
            "endpoint": replica["endpoint"],
            "incarnation": replica["incarnation"],
            "capabilities": len(replica["capabilities"]),
        }
        async with gate:
            started = time.monotonic()
            try:
                look["status"] = await self._clients.get(replica["endpoint"]).status_async(TIMEOUT)
                look["took"] = time.monotonic() - started
            except AnyserveError as error:
                look["error"] = str(error)
        return look
