"""Handlers that stream and do something wrong, each in its own way."""

from __future__ import annotations

import asyncio
import builtins
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
from anyserve import AnyServe, AsyncStream, Context, ModelInferRequest, ModelInferResponse, Stream, errors

app = AnyServe()
loop = AnyServe()

kept: list[Stream] = []
async_kept: list[AsyncStream] = []


def text(value: str) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("OUT", data=[value])
    return response


def raise_it(request: ModelInferRequest) -> None:
    """Raises the exception that the parameters name."""
    name, message = str(request.parameters["error"]), str(request.parameters["message"])
    if name == "retry":
        raise errors.ResourceExhaustedError(message, retry_after=2.5)
    raise (getattr(errors, name, None) or getattr(builtins, name))(message)


def before(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """What is sent before it fails."""
    return (text(str(value)) for value in range(int(request.parameters["after"])))


def raises(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    for part in before(request):
        stream.send(part)
    raise_it(request)


def raises_yielding(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    yield from before(request)
    raise_it(request)


def raises_returning(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    raise_it(request)
    return before(request)


async def async_raises(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    for part in before(request):
        await stream.send(part)
    raise_it(request)


async def async_raises_yielding(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    for part in before(request):
        yield part
    raise_it(request)


def thing(request: ModelInferRequest) -> Any:
    """What is no good response."""
    malformed = text("")
    malformed.add_output("bad", "FP32", [3])
    large = ModelInferResponse()
    large.add_output("OUT", data=np.zeros(2 << 20, np.uint8))
    parameter = ModelInferResponse()
    parameter.parameters["bad"] = object()  # type: ignore[assignment]
    things: dict[str, Any] = {
        "None": None,
        "dict": {},
        "str": "text",
        "ModelInferRequest": request,
        "type": ModelInferResponse,
        "malformed": malformed,
        "large": large,
        "parameter": parameter,
    }
    return things[str(request.parameters["what"])]


def sends(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    stream.send(text("before"))
    stream.send(thing(request))


def yields(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    yield text("before")
    yield thing(request)


async def async_sends(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    await stream.send(text("before"))
    await stream.send(thing(request))


async def async_yields(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    yield text("before")
    yield thing(request)


def sends_again(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Sends something good in place of what could not be sent."""
    try:
        stream.send(thing(request))
    except Exception as error:
        stream.send(text(f"{type(error).__name__}: {error}"))


async def async_sends_again(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    try:
        await stream.send(thing(request))
    except Exception as error:
        await stream.send(text(f"{type(error).__name__}: {error}"))


def returns_value(request: ModelInferRequest, context: Context, stream: Stream) -> Any:
    stream.send(text("before"))
    return thing(request)


async def async_returns_value(request: ModelInferRequest, context: Context, stream: AsyncStream) -> Any:
    await stream.send(text("before"))
    return thing(request)


def returns_no_iterator(request: ModelInferRequest) -> Any:
    return thing(request)


def returns_list(request: ModelInferRequest) -> list[ModelInferResponse]:
    """A list may be iterated over, too."""
    return [text("one"), text("two")]


def closes(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Sends after it has closed the stream."""
    stream.send(text("before"))
    stream.close()
    stream.close()
    stream.send(text("after"))


async def async_closes(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    await stream.send(text("before"))
    stream.close()
    stream.close()
    await stream.send(text("after"))


def keeps(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    kept[:] = [stream]
    stream.send(text("before"))


def uses_kept(request: ModelInferRequest) -> ModelInferResponse:
    """Sends to the stream of a request that has ended."""
    try:
        kept[0].send(text("late"))
    except RuntimeError as error:
        kept[0].close()
        return text(str(error))
    raise AssertionError("it was sent")


async def async_keeps(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    async_kept[:] = [stream]
    await stream.send(text("before"))


async def async_uses_kept(request: ModelInferRequest) -> ModelInferResponse:
    try:
        await async_kept[0].send(text("late"))
    except RuntimeError as error:
        async_kept[0].close()
        return text(str(error))
    raise AssertionError("it was sent")


async def async_cancels_itself(request: ModelInferRequest) -> ModelInferResponse:
    raise asyncio.CancelledError


def fine(request: ModelInferRequest) -> ModelInferResponse:
    return text("fine")


def exits(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    yield text("before")
    sys.exit(3)


STREAMS: list[Callable[..., Any]] = [
    *(raises, raises_yielding, raises_returning, sends, yields, sends_again, returns_value, returns_no_iterator),
    *(returns_list, closes, keeps, exits),
]
ASYNC_STREAMS: list[Callable[..., Any]] = [
    *(async_raises, async_raises_yielding, async_sends, async_yields, async_sends_again, async_returns_value),
    *(async_closes, async_keeps),
]


def declare(app: AnyServe, handlers: list[Callable[..., Any]], *, stream: bool) -> None:
    for handler in handlers:
        app.capability(type=handler.__name__.replace("_", "-"), stream=stream)(handler)


declare(app, STREAMS, stream=True)
declare(app, [uses_kept, fine], stream=False)
declare(loop, [*STREAMS, *ASYNC_STREAMS], stream=True)
declare(loop, [uses_kept, fine, async_uses_kept, async_cancels_itself], stream=False)
