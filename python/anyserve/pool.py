"""What an application's pools are, and how their workers are run: what code and configuration files may say of it."""

from __future__ import annotations

from .record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .handlers import Handler
    from .worker_class import Worker

__all__ = ["DEFAULT_POOL", "MOST_WORKERS", "DeclaredPool", "PoolOptions"]

DEFAULT_POOL = "default"
"""The pool of an application's functions."""

MOST_WORKERS = 1024
"""The most workers of one pool, and the most GPUs of one worker."""


class PoolOptions(NamedTuple):
    """What was said of a pool; None is not said, and leaves it to the next who says, in the end to the agent.

    Times are in seconds and sizes in bytes.
    """

    min: int | None = None
    """How many workers are kept, whatever comes. Default: 1 for an application's functions, 0 for a class."""
    max: int | None = None
    """How many there are at most. Default: 1, or ``min`` if that is more."""
    gpus: int | None = None
    """How many GPUs each worker takes. Default: 0."""
    resources: Mapping[str, int] | None = None
    """What else each worker takes of the machine's budget; ``memory`` is in bytes."""
    asleep: Mapping[str, int] | None = None
    """What a worker keeps of them while it sleeps. Default: its memory, if its class can sleep."""
    idle_timeout: float | None = None
    """How long a worker may be idle before it sleeps, if it can, or stops; 0 is for ever. Default: 5 minutes."""
    start_timeout: float | None = None
    """How long a worker may take until it is ready. Default: 10 minutes (``--start-timeout``)."""
    stop_timeout: float | None = None
    """How long it may take to stop once it has no request; then it is killed. Default: 5 seconds."""
    min_residence: float | None = None
    """How long a worker is kept once it is ready, whoever wants its place. Default: 1 second."""
    heartbeat_timeout: float | None = None
    """How long a worker may be without a sign of life before it is killed. Default: 30 seconds."""
    eviction_cost: float | None = None
    """How much worse it is to evict a worker of this pool than one of another. Default: 1."""
    pinned: bool | None = None
    """Whether its workers are neither evicted nor stopped for being idle. Default: no."""
    max_rss: int | None = None
    """The resident memory at which a worker is killed; 0 is no limit, the default."""
    max_requests: int | None = None
    """How many requests a worker serves before another takes its place; 0 is no limit, the default."""
    preload: Sequence[str] | None = None
    """Modules that a fork server imports once, so that workers start faster."""
    slo: float | None = None
    """The target time from a request's arrival to its first response, instead of the capabilities' own."""


class DeclaredPool(NamedTuple):
    """A pool as an application declares it: its functions, or one of its classes."""

    name: str
    handlers: tuple[Handler, ...]
    worker_class: type[Worker] | None
    """What each of its workers makes one instance of; None for functions."""
    options: PoolOptions

    @property
    def sleeps(self) -> bool:
        """True if its class says what to do when a worker is to sleep."""
        if self.worker_class is None:
            return False
        from .worker_class import Worker

        return self.worker_class.on_sleep is not Worker.on_sleep

    @property
    def is_async(self) -> bool:
        """True if its workers run an event loop."""
        return any(handler.is_async for handler in self.handlers)
