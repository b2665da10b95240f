"""What a function can be called with, and what a call of it gives.

The usual function says so in its code object; only what is unusual is left to ``inspect``, which would be half of what
a worker imports.
"""

from __future__ import annotations

from types import FunctionType, MethodType

from .record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Signature", "is_async", "read", "text", "yields"]

# As in `inspect`; the language reference fixes the first two, and CPython the others.
_VARARGS, _VARKEYWORDS = 0x04, 0x08
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200

UNBOUNDED = 1 << 30
"""Stands for as many positional arguments as there are."""


class Signature(NamedTuple):
    """What matters here of a signature."""

    names: tuple[str, ...]
    """Of all parameters, in order."""
    least: int
    """How many positional arguments it must be called with."""
    most: int
    """How many it may be called with."""
    needs_keywords: bool
    """True if it cannot be called with positional arguments alone."""

    def takes(self, count: int) -> bool:
        """True if it can be called with so many positional arguments."""
        return self.least <= count <= self.most and not self.needs_keywords


def read(function: Callable[..., Any]) -> Signature:
    """The signature of anything that can be called.

    Raises:
        TypeError, ValueError: It has none.
    """
    plain, bound = _plain(function)
    if plain is None or bound > plain.__code__.co_argcount:
        return _inspected(function)
    code = plain.__code__
    positional, keywords = code.co_argcount, code.co_kwonlyargcount
    variables = list(code.co_varnames)
    names, others = variables[bound:positional], variables[positional : positional + keywords]
    rest = variables[positional + keywords :]
    if code.co_flags & _VARARGS:
        names.append(rest.pop(0))
    names += others
    if code.co_flags & _VARKEYWORDS:
        names.append(rest.pop(0))
    return Signature(
        names=tuple(names),
        least=max(positional - len(plain.__defaults__ or ()) - bound, 0),
        most=UNBOUNDED if code.co_flags & _VARARGS else positional - bound,
        needs_keywords=bool(set(others) - set(plain.__kwdefaults__ or ())),
    )


def is_async(function: Callable[..., Any]) -> bool:
    """True if a call gives a coroutine or an async generator."""
    plain, _ = _plain(function)
    if plain is not None:
        return bool(plain.__code__.co_flags & (_COROUTINE | _ASYNC_GENERATOR))
    import inspect

    return _any(function, inspect.iscoroutinefunction, inspect.isasyncgenfunction)


def yields(function: Callable[..., Any]) -> bool:
    """True if a call gives a generator or an async generator."""
    plain, _ = _plain(function)
    if plain is not None:
        return bool(plain.__code__.co_flags & (_GENERATOR | _ASYNC_GENERATOR))
    import inspect

    return _any(function, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def text(function: Callable[..., Any]) -> str:
    """The signature as it is written; for messages."""
    import inspect

    return str(inspect.signature(function))


def _plain(function: Callable[..., Any]) -> tuple[FunctionType | None, int]:
    """The function and how many of its arguments are bound; none if its code object may not say it all.

    A wrapper, a marked function and one with a signature of its own say so in their attributes.
    """
    found: Any = function.__func__ if type(function) is MethodType else function
    if type(found) is not FunctionType or found.__dict__:
        return None, 0
    return found, int(found is not function)


def _inspected(function: Callable[..., Any]) -> Signature:
    import inspect

    parameters = inspect.signature(function).parameters.values()
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    unbounded = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    return Signature(
        names=tuple(one.name for one in parameters),
        least=sum(one.default is one.empty for one in positional),
        most=UNBOUNDED if unbounded else len(positional),
        needs_keywords=any(one.kind is one.KEYWORD_ONLY and one.default is one.empty for one in parameters),
    )


def _any(function: Callable[..., Any], *checks: Callable[[Any], bool]) -> bool:
    # An object may be called by its class's __call__.
    call = getattr(function, "__call__", None)  # noqa: B004
    return any(check(function) or check(call) for check in checks)
