"""Registrations: those that last as long as a connection, and those that last as long as a lease."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable

from anyserve._core import Registry
from anyserve.errors import AnyserveError, SupersededError

from .errors import ApiError
from .fleet import Fleet, Replica
from .settings import DEFAULT_LEASE
from .sse import event

__all__ = ["Registrations", "Session"]

log = logging.getLogger(__name__)


class Session:
    """A registration that lasts as long as a connection, whose end closes it."""

    def __init__(self, replica: Replica, on_close: Callable[[Session], None]) -> None:
        self.replica = replica
        self.replica_id: str = replica["replica_id"]
        self.incarnation: int = replica["incarnation"]
        self._on_close = on_close
        # The event that tells of an end from elsewhere: its name, and why.
        self._end: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

    def finish(self, name: str, why: str) -> None:
        """Ends it from elsewhere; the connection is told."""
        if not self._end.done():
            self._end.set_result((name, why))

    async def events(self) -> AsyncIterator[bytes]:
        """What the connection is told."""
        yield event({"replica_id": self.replica_id, "incarnation": self.incarnation}, "registered")
        name, why = await self._end
        yield event({"error": why}, name)

    def close(self) -> None:
        """The connection is gone."""
        self._on_close(self)


class Registrations:
    """Puts replicas into a registry and takes them out again.

    Args:
        registry: Where they go.
        fleet: What is there already.
        max_replicas: How many there may be.
        stopping: Set when the server stops. The streams end then, but not the registrations: the replicas come back
            to this server, or to another one, before their leases end.
    """

    def __init__(self, registry: Registry, fleet: Fleet, max_replicas: int, stopping: asyncio.Event) -> None:
        self._registry = registry
        self._fleet = fleet
        self._max_replicas = max_replicas
        self._sessions: dict[str, Session] = {}
        self._last_incarnation = 0
        self._stopping = stopping
        self._renewals: dict[Session, asyncio.Task[None]] = {}
        # Removals go on when the connection that they belong to is gone.
        self._removals: set[asyncio.Task[None]] = set()
        fleet.listen(self._changed)

    @property
    def sessions(self) -> int:
        """How many replicas are registered by a connection."""
        return len(self._sessions)

    async def put(self, replica: Replica, lease: float) -> Replica:
        """Registers, renews or changes a replica until the lease runs out; returns it with its incarnation.

        Raises:
            ApiError: It is not well formed, or there are too many.
            SupersededError: A later incarnation has the id.
            RegistryError: The registry does not answer.
        """
        given = replica.get("incarnation")
        known = self._fleet.get(replica["replica_id"])
        if known is None and len(self._fleet) >= self._max_replicas:
            raise ApiError(429, f"{self._max_replicas} replicas are registered already (--max-replicas)")
        if given is None:
            # Whoever gives none and comes from the same place is the same.
            same = known is not None and known["endpoint"] == replica["endpoint"]
            given = known["incarnation"] if known and same else self._next_incarnation()
        replica = {**replica, "incarnation": given}
        try:
            await self._registry.put(replica, lease)
        except ValueError as error:
            raise ApiError(400, str(error)) from error
        return replica

    async def remove(self, replica_id: str, incarnation: int | None) -> bool:
        """Ends a registration, whichever way it was made; False if there is none."""
        try:
            removed = await self._registry.remove(replica_id, incarnation)
        except ValueError as error:
            raise ApiError(400, str(error)) from error
        session = self._sessions.get(replica_id)
        if session is not None and incarnation in (None, session.incarnation):
            session.finish("removed", f"the registration of '{replica_id}' was removed")
        return removed

    async def open(self, replica: Replica) -> Session:
        """Registers a replica until the session is closed, or ends by itself.

        Raises:
            As :meth:`put`.
        """
        given = replica.get("incarnation")
        replica = {**replica, "incarnation": self._next_incarnation() if given is None else given}
        session = Session(await self.put(replica, DEFAULT_LEASE), self._closed)
        earlier = self._sessions.get(session.replica_id)
        if earlier is not None:
            self._supersede(earlier, session.replica)
        self._sessions[session.replica_id] = session
        self._renewals[session] = asyncio.create_task(self._renew(session))
        return session

    async def stop(self) -> None:
        """Renews nothing any more, and lets removals that have begun go on for a moment."""
        for renewal in self._renewals.values():
            renewal.cancel()
        if self._removals:
            await asyncio.wait(self._removals, timeout=1.0)

    def _closed(self, session: Session) -> None:
        self._renewals.pop(session).cancel()
        if self._sessions.get(session.replica_id) is not session:
            # Another connection has the id by now.
            return
        del self._sessions[session.replica_id]
        if not self._stopping.is_set():
            removal = asyncio.create_task(self._take_out(session))
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)

    async def _renew(self, session: Session) -> None:
        while True:
            await asyncio.sleep(DEFAULT_LEASE / 3)
            try:
                await self._registry.put(session.replica, DEFAULT_LEASE)
            except SupersededError as error:
                session.finish("superseded", str(error))
            except AnyserveError as error:
                log.warning("'%s' could not be renewed: %s", session.replica_id, error)

    async def _take_out(self, session: Session) -> None:
        try:
            await self._registry.remove(session.replica_id, session.incarnation)
        except AnyserveError as error:
            log.warning("'%s' could not be removed, its lease will end: %s", session.replica_id, error)

    def _changed(self, replica_id: str, replica: Replica | None) -> None:
        session = self._sessions.get(replica_id)
        if session and replica and replica["incarnation"] > session.incarnation:
            self._supersede(session, replica)

    def _supersede(self, session: Session, later: Replica) -> None:
        by = f"the one at {later['endpoint']} (incarnation {later['incarnation']})"
        session.finish("superseded", f"'{later['replica_id']}' was registered again, by {by}")

    def _next_incarnation(self) -> int:
        """Microseconds since 1970, as replicas count their own; never the same twice."""
        self._last_incarnation = max(time.time_ns() // 1000, self._last_incarnation + 1)
        return self._last_incarnation
