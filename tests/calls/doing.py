"""What workers do in many of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyserve.errors import RequestError

from tests.gate import Gate
from tests.objects.remote import CONTEXT, Remote, parameters_of, result_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


def add(left: int, right: int) -> int:
    """Something that takes no time."""
    return left + right


def stay(gate: str) -> str:
    """Stays until the test opens the gate, or until nobody waits any longer."""
    context = CONTEXT.get()
    Gate(gate).stay(lambda: context.cancelled)
    return "cancelled" if context.cancelled else "open"


def callee(name: str) -> Remote:
    """Another worker, as the running handler calls it by its context."""
    return Remote(CONTEXT.get().call, name)


def call(name: str, function: str, *arguments: Any) -> Any:
    """Calls a function of this module in another worker; an error is its class and its message."""
    try:
        return callee(name).run(globals()[function], *arguments)
    except RequestError as error:
        return [type(error).__name__, str(error)]


async def acall(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The same by ``acall``; an error is raised."""
    result = await CONTEXT.get().acall(name, parameters=parameters_of(function, *arguments), **options)
    return result_of(result)


def count(number: int, gate: str = "") -> Iterator[int]:
    """So many responses; behind the gate, if there is one, a journal of how far it came."""
    for index in range(number):
        if gate:
            with open(f"{gate}.sent", "a") as sent:
                sent.write(f"{index}\n")
        yield index


def fail_after(number: int) -> Iterator[int]:
    """An error behind so many responses."""
    from anyserve.errors import PermissionDeniedError

    yield from range(number)
    raise PermissionDeniedError("no more")


async def acount(number: int) -> AsyncIterator[int]:
    """The same for coroutines."""
    for index in range(number):
        yield index


def linger(gate: str) -> Iterator[str]:
    """One response, and nothing more until the gate opens or nobody waits."""
    yield "first"
    yield stay(gate)
