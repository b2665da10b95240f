"""The forms that a handler may have, told from its signature."""

from __future__ import annotations

from . import signature
from .record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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
    yields = signature.yields(function)
    is_async = signature.is_async(function)
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


def _arguments(function: Callable[..., Any], name: str, *, stream: bool, yields: bool) -> int:
    """How many arguments the handler is called with."""
    found = signature.read(function)
    if stream and not yields and found.takes(3):
        return 3
    if not found.takes(1) and not found.takes(2):
        forms = "(request) or (request, context)"
        if stream and not yields:
            forms = f"{forms} or (request, context, stream)"
        hint = ""
        if found.takes(3):
            hint = "; a generator yields its responses" if yields else "; for a stream, declare it with stream=True"
        raise TypeError(f"handler {name}{signature.text(function)} must take {forms}{hint}")
    names = found.names
    if len(names) == 2 and names[1] == "stream":
        shown = signature.text(function)
        raise TypeError(f"handler {name}{shown} must take (request, context, stream) to send to a stream")
    if not found.takes(1):
        return 2
    # A second parameter that has a default is the handler's own business, unless it is the context by name.
    takes_context = len(names) > 1 and names[1] in ("context", "contexts")
    return 2 if found.takes(2) and takes_context else 1
