"""What an API server is told, and the limits that are not to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "CLIENT_POOL_SIZE",
    "DEFAULT_LEASE",
    "KEEP_ALIVE",
    "MAX_CAPABILITIES",
    "MAX_CONSOLES",
    "MAX_HEADER_BYTES",
    "MAX_LEASE",
    "MAX_REGISTRATION_BYTES",
    "MIN_LEASE",
    "WATCH_BACKLOG",
    "Settings",
]

MAX_CAPABILITIES: Final = 1024
"""The most capabilities of one replica, as in anyserve's core."""

MAX_REGISTRATION_BYTES: Final = 1 << 20
"""The largest body that says what a replica offers."""

MAX_HEADER_BYTES: Final = 32 << 10
"""The longest request line and headers together."""

DEFAULT_LEASE: Final = 15.0
MIN_LEASE: Final = 1.0
MAX_LEASE: Final = 3600.0
"""Seconds that a registration lasts without being renewed."""

KEEP_ALIVE: Final = 5.0
"""Seconds after which a stream of events without events says that it is alive."""

WATCH_BACKLOG: Final = 4096
"""Events that a watcher may be behind before it is told to start again."""

MAX_CONSOLES: Final = 32
"""Consoles that may be open at a time."""

CLIENT_POOL_SIZE: Final = 256
"""Replicas to which connections are kept."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an API server is told.

    Times are in seconds, sizes in bytes.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    registry: str = "memory:"
    """Where the registrations are: ``memory:``, or ``etcd://HOST:PORT``."""
    max_replicas: int = 10_000
    max_watchers: int = 1024
    max_connections: int = 8192
    max_message_size: int = 64 << 20
    """The largest request that is passed on to a replica."""
    header_timeout: float = 10.0
    """Until the head of a request must have come."""
    stall_timeout: float = 30.0
    """Until a connection is cut on which a body does not go on, or whose client does not take the answer."""
    settle_time: float = DEFAULT_LEASE
    """How long after the start of a registry in memory replicas may still be registering again."""
    drain_timeout: float = 10.0
    """For what still runs at the end."""
    log_level: str = "info"
