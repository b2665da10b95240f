"""What a configuration file says, once it is found to be right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core import Capability
from ..pool import PoolOptions

__all__ = ["Budget", "Config", "PoolConfig"]


@dataclass(frozen=True)
class Budget:
    """What the machine offers to the workers of all pools."""

    gpus: list[int] | None
    """The indices of the GPUs; None is all that are found."""
    counters: dict[str, int]
    """The rest by name; ``memory`` is in bytes, and left to the agent if it is not there."""


@dataclass(frozen=True)
class PoolConfig:
    """A pool."""

    name: str
    target: str
    """The application, or the factory that makes it, as ``MODULE:ATTRIBUTE``."""
    factory: bool
    """Whether the target is a factory."""
    worker: str | None
    """Which of the application's pools; None if the file does not say."""
    args: dict[str, Any]
    """The factory's keyword arguments: what JSON can say."""
    env: dict[str, str]
    """Environment variables of its workers, beside those of the agent."""
    capabilities: list[Capability] | None
    """What it serves; None if the file does not say."""
    options: PoolOptions
    """Its own options, then those of ``defaults``."""
    line: int
    """Where in the file its name is, from 1 on."""


@dataclass(frozen=True)
class Config:
    """A file."""

    path: Path
    budget: Budget
    server: dict[str, Any]
    """The settings of ``anyserve run`` that are given: sizes in bytes, times in seconds, no metrics port as None."""
    pools: list[PoolConfig]
    """In the order of the file."""
