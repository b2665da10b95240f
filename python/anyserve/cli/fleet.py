"""From what the user said to what the agent is told to serve."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .._core import Capability
from ..pool import DEFAULT_POOL, PoolOptions

if TYPE_CHECKING:
    from ..config import Config, PoolConfig

__all__ = ["Fleet", "Pool", "detected_gpus", "of_config", "of_target"]


class Pool(NamedTuple):
    """A set of identical workers."""

    name: str
    command: Sequence[str]
    """What starts a worker."""
    env: Mapping[str, str]
    describe: Sequence[str] | None
    """What says which pools the application has, without being a worker; None if only a worker can say."""
    worker: str | None
    """Which of the application's pools it is; None for the only one."""
    factory: bool
    """A worker of it is not started only to find out what it serves, if that is remembered."""
    capabilities: Sequence[Capability]
    """What is known of what it serves."""
    options: PoolOptions


class Fleet(NamedTuple):
    """The pools, and what there is for them."""

    gpus: Sequence[int]
    amounts: Mapping[str, int]
    """How much there is of each named resource; ``memory`` is in bytes."""
    pools: Sequence[Pool]


def of_target(target: str, *, factory: bool, workers: int, gpus: Sequence[int] | None) -> Fleet:
    """One application, with so many workers for its functions."""
    pool = Pool(
        name=DEFAULT_POOL,
        command=_command(target, "--factory") if factory else _command(target),
        env={},
        describe=None,
        worker=None,
        factory=False,
        capabilities=(),
        options=PoolOptions(min=workers, max=workers),
    )
    return Fleet(detected_gpus() if gpus is None else gpus, _machine(), [pool])


def of_config(config: Config) -> Fleet:
    """What a configuration file says."""
    budget = config.budget
    gpus = detected_gpus() if budget.gpus is None else budget.gpus
    return Fleet(gpus, {**_machine(), **budget.counters}, [_pool(pool) for pool in config.pools])


def _pool(pool: PoolConfig) -> Pool:
    command = _command(pool.target)
    if pool.factory:
        command.append("--factory")
    if pool.args:
        import json

        command += ["--args", json.dumps(pool.args)]
    describe = None if pool.factory else [*command, "--describe"]
    if pool.worker is not None:
        command = [*command, "--pool", pool.worker]
    return Pool(
        name=pool.name,
        command=command,
        env=pool.env,
        describe=describe,
        worker=pool.worker,
        factory=pool.factory,
        capabilities=pool.capabilities or (),
        options=pool.options,
    )


def _command(target: str, *flags: str) -> list[str]:
    return [sys.executable, "-u", "-m", "anyserve.worker", target, *flags]


def detected_gpus() -> list[int]:
    """The indices of the machine's NVIDIA GPUs that this process may see."""
    try:
        devices = sorted(int(name[6:]) for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name))
    except OSError:
        devices = []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return devices
    allowed = {int(word) for word in visible.split(",") if word.strip().isdigit()}
    return [device for device in devices if device in allowed]


def _machine() -> dict[str, int]:
    """What every machine has: its memory, or what a container's limit leaves of it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max") as limit:
            text = limit.read().strip()
    except OSError:
        text = "max"
    return {"memory": min(memory, int(text)) if text.isdigit() else memory}
