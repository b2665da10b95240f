"""The fleet as this server knows it, and who watches it change."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from anyserve._core import Registry

from .errors import ApiError
from .settings import WATCH_BACKLOG
from .sse import event

__all__ = ["Fleet", "Replica", "Watcher"]

log = logging.getLogger(__name__)

Replica = dict[str, Any]
"""``replica_id``, ``endpoint``, ``incarnation``, ``capabilities``."""

RETRY = 1.0
"""Seconds until a registry is asked again that failed."""

OVERRUN = event({"error": f"more than {WATCH_BACKLOG} events wait for this reader; connect again"}, "overrun")


@dataclass(frozen=True, slots=True)
class _Known:
    replica: Replica
    encoded: bytes


class Watcher:
    """The events that wait for one reader, who closes it when he is done."""

    def __init__(self, watchers: set[Watcher]) -> None:
        self._watchers = watchers
        watchers.add(self)
        self._waiting: deque[bytes] = deque()
        self._overrun = False
        self._filled = asyncio.Event()

    def push(self, text: bytes) -> None:
        """Adds an event. Whoever is too far behind gets none of them any more."""
        if len(self._waiting) >= WATCH_BACKLOG:
            self._waiting.clear()
            self._overrun = True
        if not self._overrun:
            self._waiting.append(text)
        self._filled.set()

    def close(self) -> None:
        """Ends it."""
        self._watchers.discard(self)

    async def events(self) -> AsyncIterator[bytes]:
        """What comes; ends where the reader was too slow."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._overrun:
                yield OVERRUN
                return
            self._filled.clear()
            await self._filled.wait()


class Fleet:
    """Follows a registry.

    Args:
        registry: What to follow.
        max_watchers: How many may watch at a time.
        settle_time: Seconds after the start until what has not registered again is taken to be gone.
    """

    def __init__(self, registry: Registry, max_watchers: int, settle_time: float) -> None:
        self._registry = registry
        self._max_watchers = max_watchers
        self._settle_time = settle_time
        self._known: dict[str, _Known] = {}
        self._watchers: set[Watcher] = set()
        self._listeners: list[Callable[[str, Replica | None], None]] = []
        self.settled = settle_time == 0
        """False while replicas may still be registering again: what is missing is not known to be gone."""
        self.revision = 0
        """Grows with each change."""
        self.known = False
        """True once the registry has answered."""

    def is_connected(self) -> bool:
        """Whether the registry answers; else what is known is what was known."""
        return self._registry.is_connected()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, replica_id: str) -> Replica | None:
        """The replica of that id."""
        known = self._known.get(replica_id)
        return known.replica if known else None

    def replicas(self) -> list[Replica]:
        """All of them, by id."""
        return [self._known[replica_id].replica for replica_id in sorted(self._known)]

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def listen(self, listener: Callable[[str, Replica | None], None]) -> None:
        """Calls ``listener(replica_id, replica)`` for each change; the replica is None when it is gone."""
        self._listeners.append(listener)

    def watch(self) -> Watcher:
        """The fleet as it is, and then its changes, as events.

        Raises:
            ApiError: Too many watch already, or nothing is known yet.
        """
        if not self.known:
            raise ApiError(503, "the registry has not answered yet; try again later", {"retry-after": "1"})
        if len(self._watchers) >= self._max_watchers:
            message = f"{self._max_watchers} watch already (--max-watchers); try again later"
            raise ApiError(503, message, {"retry-after": "5"})
        # The registry may know of more than what it has told here: who registers, and then watches, is to find himself.
        self._replace(self._registry.snapshot()[1])
        watcher = Watcher(self._watchers)
        watcher.push(self._snapshot())
        return watcher

    async def run(self) -> None:
        """Follows the registry, for ever."""
        if not self.settled:
            asyncio.get_running_loop().call_later(self._settle_time, self._settle)
        version, replicas = self._registry.snapshot()
        self._replace(replicas)
        self.known = version > 0
        while True:
            try:
                version, changes = await self._registry.changes(version)
            except Exception:
                log.exception("the registry cannot be followed; trying again")
                await asyncio.sleep(RETRY)
                continue
            for change in changes:
                self._apply(change)
            self.known = True

    def _apply(self, change: dict[str, Any]) -> None:
        if "put" in change:
            if self.get(change["put"]["replica_id"]) != change["put"]:
                self._put(change["put"])
        elif "gone" in change:
            self._remove(change["gone"])
        else:
            self._replace(change["snapshot"])

    def _put(self, replica: Replica) -> None:
        replica_id = replica["replica_id"]
        encoded = json.dumps(replica, separators=(",", ":")).encode()
        self._known[replica_id] = _Known(replica, encoded)
        self._tell(replica_id, replica, event(encoded, "put"))

    def _remove(self, replica_id: str) -> None:
        if self._known.pop(replica_id, None):
            self._tell(replica_id, None, event({"replica_id": replica_id}, "gone"))

    def _replace(self, replicas: list[Replica]) -> None:
        present = {replica["replica_id"]: replica for replica in replicas}
        for replica_id in [known for known in self._known if known not in present]:
            self._remove(replica_id)
        for replica_id, replica in present.items():
            if self.get(replica_id) != replica:
                self._put(replica)

    def _tell(self, replica_id: str, replica: Replica | None, text: bytes) -> None:
        self.revision += 1
        for watcher in self._watchers:
            watcher.push(text)
        for listener in self._listeners:
            listener(replica_id, replica)

    def _settle(self) -> None:
        self.settled = True
        snapshot = self._snapshot()
        for watcher in self._watchers:
            watcher.push(snapshot)

    def _snapshot(self) -> bytes:
        replicas = b",".join(known.encoded for known in self._known.values())
        # Until replicas have had the time to register again, what is missing is not known to be gone.
        complete = b"true" if self.settled else b"false"
        return event(b'{"replicas":[%b],"complete":%b}' % (replicas, complete), "snapshot")
