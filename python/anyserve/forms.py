"""The forms that a handler may have, told from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Form", "handler_form"]


class Form(NamedTuple):
    """How a handler is called, and how it answers."""

    kind: str
    """``unary``, ``batch``, ``generator`` (yields its responses) or ``stream`` (is given a stream to send them to)."""
    is_async: bool
    wants_context: bool


def handler_form(function: Callable[..., Any], name: str, *, stream: bool, batch: bool) -> Form:
    """Tells the form of a handler.

    Raises:
        TypeError: It does not take the arguments that the options ask for.
    """
    yields = _is(inspect.isgeneratorfunction, function) or _is(inspect.isasyncgenfunction, function)
    is_async = _is(inspect.iscoroutinefunction, function) or _is(inspect.isasyncgenfunction, function)
    count = _arguments(function, name, stream=stream, yields=yields)
    if batch:
        if yields:
            raise TypeError(f"handler {name} is a generator; with max_batch_size it must return a list of responses")
        return Form("batch", is_async, count == 2)
    if count == 3:
        return Form("stream", is_async, True)
    if stream and is_async and not yields:
        raise TypeError(
            f"handler {name} streams: it must be an async generator, or take (request, context, stream) and send its "
            "responses by `await stream.send(response)`"
        )
    return Form("generator" if stream or yields else "unary", is_async, count == 2)


def _is(check: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    # An object may be called by its class's __call__.
    return check(function) or check(getattr(function, "__call__", None))  # noqa: B004


def _arguments(function: Callable[..., Any], name: str, *, stream: bool, yields: bool) -> int:
    """How many arguments the handler is called with."""
    signature = inspect.signature(function)
    fits = [count for count in (1, 2, 3) if _binds(signature, count)]
    if stream and not yields and 3 in fits:
        return 3
    if 1 not in fits and 2 not in fits:
        forms = "(request) or (request, context)"
        if stream and not yields:
            forms = f"{forms} or (request, context, stream)"
        hint = ""
        if 3 in fits:
            hint = "; a generator yields its responses" if yields else "; for a stream, declare it with stream=True"
        raise TypeError(f"handler {name}{signature} must take {forms}{hint}")
    parameters = list(signature.parameters.values())
    if len(parameters) == 2 and parameters[1].name == "stream":
        raise TypeError(f"handler {name}{signature} must take (request, context, stream) to send to a stream")
    if 1 not in fits:
        return 2
    # A second parameter that has a default is the handler's own business, unless it is the context by name.
    takes_context = len(parameters) > 1 and parameters[1].name in ("context", "contexts")
    return 2 if 2 in fits and takes_context else 1


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
