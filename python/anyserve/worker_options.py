"""The keywords of ``@app.worker``, for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .handlers import Specs

__all__ = ["WorkerOptions"]


class WorkerOptions(TypedDict, total=False):
    """As :meth:`anyserve.AnyServe.worker` describes them."""

    min: int | None
    max: int | None
    gpus: int | None
    memory: int | str | None
    resources: Mapping[str, int | str] | None
    asleep: Mapping[str, int | str] | None
    idle_timeout: float | str | None
    start_timeout: float | str | None
    stop_timeout: float | str | None
    min_residence: float | str | None
    heartbeat_timeout: float | str | None
    eviction_cost: float | None
    pinned: bool | None
    max_rss: int | str | None
    max_requests: int | None
    preload: Sequence[str] | None

    stream: bool
    idempotent: bool
    timeout: float | str | None
    concurrency: int | None
    slo: float | str | None
    priority: int | None
    max_queue_size: int | None
    max_batch_size: int
    max_batch_delay: float | str
    inputs: Specs
    outputs: Specs
