"""Waiting for what must become true, with a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0
"""Seconds after which a condition is taken to never come true: far more than it needs on a busy machine."""


def eventually(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Returns once the condition is true; AssertionError if that takes too long."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.01)
