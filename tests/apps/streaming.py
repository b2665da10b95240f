"""Handlers that stream, in every form there is: on one thread, on several threads, and on an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
from anyserve import AnyServe, AsyncStream, Context, ModelInferRequest, ModelInferResponse, Stream

app = AnyServe()
threads = AnyServe()
loop = AnyServe()


def number(value: int) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("OUT", data=np.array([value], np.int32))
    response.add_output("SQUARE", data=np.array([value * value], np.int64))
    return response


def count(request: ModelInferRequest) -> int:
    return int(request.get_input("N").as_numpy()[0])


def sent(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    for value in range(count(request)):
        stream.send(number(value))


def yielded(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    for value in range(count(request)):
        yield number(value)


def returned(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    return map(number, range(count(request)))


async def async_sent(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    for value in range(count(request)):
        await asyncio.sleep(0)
        await stream.send(number(value))


async def async_yielded(request: ModelInferRequest, context: Context) -> AsyncIterator[ModelInferResponse]:
    for value in range(count(request)):
        yield number(value)


def unary(request: ModelInferRequest) -> ModelInferResponse:
    """A request with the parameter `bad` fails."""
    if request.parameters.get("bad"):
        raise ValueError("a bad request")
    return number(count(request))


def large(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """Responses of as many bytes as the inputs say."""
    for size in request.get_input("N").as_numpy().tolist():
        response = ModelInferResponse()
        response.add_output("OUT", data=np.full(size, size % 251, np.uint8))
        response.add_output("SIZE", data=[size])
        yield response


def slow(request: ModelInferRequest, context: Context) -> Iterator[ModelInferResponse]:
    for value in range(count(request)):
        time.sleep(0.02)
        yield number(value)


def who(request: ModelInferRequest, context: Context) -> Iterator[ModelInferResponse]:
    """Says what it sees, twice."""
    for _ in range(2):
        response = ModelInferResponse()
        response.add_output("capability", data=[f"{key}={value}" for key, value in context.capability.items()])
        response.add_output("limited", data=[context.time_left is not None])
        response.parameters["seen"] = request.id
        yield response


def declare(app: AnyServe, handlers: list[Callable[..., Any]], **options: Any) -> None:
    for handler in handlers:
        streams = handler is not unary
        app.capability(type=handler.__name__.replace("_", "-"), stream=streams, **options)(handler)


SYNC: list[Callable[..., Any]] = [sent, yielded, returned]
declare(app, [*SYNC, unary, large, slow, who])
declare(threads, [*SYNC, unary, large], concurrency=4)
declare(loop, [*SYNC, async_sent, async_yielded, unary, large])
