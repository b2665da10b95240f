"""Objects inside a worker: large data that stays in the machine's shared memory and is passed by reference.

    ref = anyserve.create(image)                   # one copy, into shared memory
    result = anyserve.call("resize", {"image": ref})    # no copy: the other worker looks at the same bytes
    array = anyserve.get(ref)                      # no copy: a read-only view

An object never changes. It is there until it is deleted, until its ``ttl`` has passed, or until it has to make room for
others (not if it is pinned, and not while anybody looks at it); a view stays valid whatever becomes of the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from ._core import EmptyObject, ObjectInfo, ObjectRef, Objects

__all__ = ["create", "create_empty", "delete", "get", "lookup", "stat"]

_objects = Objects()


def create(data: Any, key: str | None = None, ttl: float | None = None, pin: bool = False) -> ObjectRef:
    """Makes an object of what ``data`` holds now.

    Args:
        data: bytes, bytearray or memoryview; a numpy array of a dtype that KServe has, BF16 included; anything with the
            buffer protocol, or with DLPack on the CPU; or a list, as for a tensor.
        key: From now on the object goes by that name at this agent, and no other object does.
        ttl: Seconds after which it is gone; it is there until it has to make room if not given.
        pin: It does not make room for others. Pinned objects may take half of the store.

    Raises:
        ResourceExhaustedError: There is no room for it; the message says how much was asked for, and is free.
        TypeError, ValueError: The data has no datatype in KServe.
    """
    return _objects.create(data, key, ttl, pin)


def create_empty(
    shape: int | Sequence[int], dtype: Any, key: str | None = None, ttl: float | None = None, pin: bool = False
) -> EmptyObject:
    """An array in shared memory to fill in place: write to its ``array``, then ``seal()`` it for its reference.

    One that is never sealed is gone with its last array, or with its worker.

    Args:
        shape: The length of each dimension.
        dtype: A numpy dtype, or the name of a datatype of KServe (``BF16`` is filled as the uint16 of its bits).
        key, ttl, pin: As in :func:`create`.
    """
    return _objects.create_empty(shape, dtype, key, ttl, pin)


def get(name: ObjectRef | str, copy: bool = False, timeout: float | None = None) -> Any:
    """What an object holds: a read-only array, or a memoryview of plain bytes, which look at it in place.

    Args:
        name: Its reference, or its key at this agent. An object of another agent is brought first.
        copy: A copy that may be written to instead; a bytearray of plain bytes.
        timeout: Seconds to wait for an object of another agent.

    Raises:
        NotFoundError: It was deleted, has expired, made room for others, or never was.
        UnavailableError: The agent that has it cannot be reached.
    """
    return _objects.get(name, copy, timeout)


@overload
def lookup(keys: str, owner: ObjectRef | str | None = None, timeout: float | None = None) -> ObjectRef | None: ...
@overload
def lookup(
    keys: list[str], owner: ObjectRef | str | None = None, timeout: float | None = None
) -> list[ObjectRef | None]: ...
def lookup(
    keys: str | list[str], owner: ObjectRef | str | None = None, timeout: float | None = None
) -> ObjectRef | list[ObjectRef | None] | None:
    """The object that goes by a key at this agent, or None; for a list of keys, a list of them.

    Args:
        keys: One, or up to 10,000 at another agent.
        owner: The agent to ask instead: a reference to an object of its, or the ``HOST:PORT`` in one. What it has,
            :func:`get` brings.
        timeout: Seconds to wait for another agent.

    Raises:
        UnavailableError: That agent cannot be reached, or is none.
        DeadlineExceededError: It did not answer in time.
    """
    found: ObjectRef | list[ObjectRef | None] | None = _objects.lookup(keys, owner, timeout)
    return found


def delete(name: ObjectRef | str) -> bool:
    """Deletes an object of this agent, or this agent's copy of another's; False if there was none."""
    return _objects.delete(name)


def stat(name: ObjectRef | str) -> ObjectInfo:
    """What is known of an object of this agent. Raises NotFoundError if there is none."""
    return _objects.stat(name)
