"""What many tests have workers do with objects. Everything here runs in a worker, and what it holds stays there."""

from __future__ import annotations

import os
from typing import Any

import anyserve
import numpy as np
from anyserve import ObjectRef

HELD: dict[str, Any] = {}
"""What a worker keeps between requests."""

MIB = 1 << 20


def named(name: str) -> ObjectRef | str:
    """A reference from its text, or a key."""
    return ObjectRef.parse(name) if name.startswith("anyserve://") else name


def create(value: int, size: int = 16, key: str | None = None, ttl: float | None = None, pin: bool = False) -> str:
    """An object of ``size`` bytes that are all that value."""
    return str(anyserve.create(np.full(size, value, np.uint8), key=key, ttl=ttl, pin=pin))


def read(name: str) -> list[int]:
    """The one value of such an object, and its size."""
    return summary(anyserve.get(named(name)))


def summary(view: Any) -> list[int]:
    """The one value of an array's bytes, and how many they are."""
    [value] = np.unique(view).tolist() if len(view) else [-1]
    return [value, len(view)]


def hold(name: str) -> None:
    """Looks at an object from now on."""
    HELD[name] = anyserve.get(named(name))


def read_held(name: str) -> list[int]:
    """What the view shows that is held."""
    return summary(HELD[name])


def let_go(name: str) -> None:
    """No longer looks at it."""
    del HELD[name]


def let_all_go() -> None:
    """Holds nothing any more."""
    HELD.clear()


def delete(name: str) -> bool:
    """Whether there was one."""
    return anyserve.delete(named(name))


def lookup(keys: str | list[str]) -> Any:
    """The texts of the references, None where there is none."""
    found = anyserve.lookup(keys)
    return [str(one) if one else None for one in found] if isinstance(found, list) else found and str(found)


def stat(name: str) -> dict[str, Any]:
    """All that is known of an object."""
    info = anyserve.stat(named(name))
    attributes = ("reference", "key", "pinned", "expires_in", "age", "creator", "leases", "location")
    return {attribute: getattr(info, attribute) for attribute in attributes}


def is_there(name: str) -> bool:
    """Whether the agent has it."""
    try:
        anyserve.stat(named(name))
    except anyserve.errors.NotFoundError:
        return False
    return True


def forget() -> None:
    """Has this worker let go of what it has at hand because it was in use a moment ago."""
    anyserve.delete("no such key")


def hold_until_full(size: int) -> str:
    """Makes objects of that size and holds all of them; what it is told when there is no room for more."""
    for number in range(1 << 20):
        array = np.full(size, number % 251, np.uint8)
        try:
            HELD[f"full-{number}"] = anyserve.get(anyserve.create(array))
        except anyserve.errors.ResourceExhaustedError as error:
            return str(error)
    raise AssertionError("there is always room")


def pid() -> int:
    """The worker's process."""
    return os.getpid()
