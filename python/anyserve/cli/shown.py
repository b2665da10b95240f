"""Numbers as people read them."""

from __future__ import annotations

__all__ = ["show_age", "show_size"]


def show_size(size: int) -> str:
    """A number of bytes as people read it."""
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def show_age(time: float) -> str:
    """A time in seconds as people read it."""
    if time < 10:
        return f"{time:.1f} s"
    if time < 120:
        return f"{time:.0f} s"
    minutes = time / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
