"""Objects for clients: large data that stays at the agent and is passed by reference."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, overload

from ._core import ObjectInfo, ObjectRef

if TYPE_CHECKING:
    from ._core import ClientObjects as _Core

__all__ = ["AsyncClientObjects", "ClientObjects"]


class ClientObjects:
    """The objects of the agent that a client is connected to.

        ref = client.objects.create(image)
        result = client.infer("embed", {"image": ref})

    Arguments and errors as in :mod:`anyserve.objects`; ``timeout`` is in seconds.
    """

    def __init__(self, core: Callable[[], _Core]) -> None:
        self._core = core

    def create(
        self,
        data: Any,
        key: str | None = None,
        ttl: float | None = None,
        pin: bool = False,
        *,
        timeout: float | None = None,
    ) -> ObjectRef:
        """Makes an object of what ``data`` holds now, at the agent."""
        return self._core().create(data, key, ttl, pin, timeout)

    def get(self, name: ObjectRef | str, copy: bool = False, *, timeout: float | None = None) -> Any:
        """What an object holds: a read-only array, or a memoryview of plain bytes; with ``copy`` one to write to.

        The bytes come over the connection.
        """
        return self._core().get(name, copy, timeout)

    @overload
    def lookup(
        self, keys: str, *, owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> ObjectRef | None: ...
    @overload
    def lookup(
        self, keys: list[str], *, owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> list[ObjectRef | None]: ...
    def lookup(
        self, keys: str | list[str], *, owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> Any:
        """The object that goes by a key at the agent, or None; for a list of keys, a list of them.

        With ``owner``, the agent asks another one: that of a reference, or at the ``HOST:PORT`` in one.
        """
        return self._core().lookup(keys, owner, timeout)

    def delete(self, name: ObjectRef | str, *, timeout: float | None = None) -> bool:
        """Deletes an object of the agent, or its copy of another's; False if there was none."""
        return self._core().delete(name, timeout)

    def stat(self, name: ObjectRef | str, *, timeout: float | None = None) -> ObjectInfo:
        """What is known of an object of the agent."""
        return self._core().stat(name, timeout)


class AsyncClientObjects:
    """The asyncio twin of :class:`ClientObjects`."""

    def __init__(self, core: Callable[[], Awaitable[_Core]]) -> None:
        self._core = core

    async def create(
        self,
        data: Any,
        key: str | None = None,
        ttl: float | None = None,
        pin: bool = False,
        *,
        timeout: float | None = None,
    ) -> ObjectRef:
        """Makes an object of what ``data`` holds now, at the agent."""
        return await (await self._core()).create_async(data, key, ttl, pin, timeout)

    async def get(self, name: ObjectRef | str, copy: bool = False, *, timeout: float | None = None) -> Any:
        """What an object holds, as :meth:`ClientObjects.get` has it."""
        return await (await self._core()).get_async(name, copy, timeout)

    @overload
    async def lookup(
        self, keys: str, *, owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> ObjectRef | None: ...
    @overload
    async def lookup(
        self, keys: list[str], *, owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> list[ObjectRef | None]: ...
    async def lookup(
        self, keys: str | list[str], *, owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> Any:
        """The object that goes by a key at the agent, or None; for a list of keys, a list of them.

        With ``owner``, the agent asks another one: that of a reference, or at the ``HOST:PORT`` in one.
        """
        return await (await self._core()).lookup_async(keys, owner, timeout)

    async def delete(self, name: ObjectRef | str, *, timeout: float | None = None) -> bool:
        """Deletes an object of the agent, or its copy of another's; False if there was none."""
        return await (await self._core()).delete_async(name, timeout)

    async def stat(self, name: ObjectRef | str, *, timeout: float | None = None) -> ObjectInfo:
        """What is known of an object of the agent."""
        return await (await self._core()).stat_async(name, timeout)
