"""Handlers that go on for as long as the test likes, and note what happens to them."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from anyserve import AnyServe, AsyncStream, Context, ModelInferRequest, ModelInferResponse, Stream

from tests.apps.stream_journal import Journal
from tests.gate import Gate

app = AnyServe()
threads = AnyServe()
loop = AnyServe()


def answer() -> ModelInferResponse:
    """Says which process it was."""
    response = ModelInferResponse()
    response.add_output("pid", data=[os.getpid()])
    return response


def gate_of(request: ModelInferRequest) -> Gate:
    return Gate(str(request.parameters["gate"]))


@contextmanager
def noted(request: ModelInferRequest) -> Iterator[Journal]:
    """Notes the start, and how it ends."""
    journal = Journal.of(request)
    journal.note("started")
    try:
        yield journal
    except BaseException as error:
        journal.note(f"{type(error).__module__}.{type(error).__qualname__}")
        raise
    finally:
        journal.note("ended")


def parts(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """As many responses as the parameter `count` says, or without end, each of so many bytes."""
    size, count = int(request.parameters.get("size", 4)), request.parameters.get("count")
    for value in itertools.count() if count is None else range(int(count)):
        response = ModelInferResponse()
        response.add_output("OUT", data=np.full(max(size // 4, 1), value, np.int32))
        yield response


def endless(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    with noted(request) as journal:
        for part in parts(request):
            stream.send(part)
            journal.note("sent")


def endless_yielded(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    with noted(request) as journal:
        for part in parts(request):
            yield part
            journal.note("sent")


async def async_endless(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    with noted(request) as journal:
        for part in parts(request):
            await asyncio.sleep(0)
            await stream.send(part)
            journal.note("sent")


async def async_endless_yielded(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    with noted(request) as journal:
        for part in parts(request):
            await asyncio.sleep(0)
            yield part
            journal.note("sent")


def watch(context: Context, journal: Journal) -> None:
    """Until nobody waits any longer."""
    while not context.cancelled:
        time.sleep(0.002)
    journal.note("told")


def silent(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Sends nothing for as long as somebody waits, and then too late."""
    with noted(request) as journal:
        watch(context, journal)
        stream.send(answer())


def silent_unary(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    with noted(request) as journal:
        watch(context, journal)
    return answer()


async def async_silent(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    with noted(request):
        await asyncio.sleep(3600)


async def async_silent_yielded(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    with noted(request):
        await asyncio.sleep(3600)
        yield answer()


async def async_silent_unary(request: ModelInferRequest) -> ModelInferResponse:
    with noted(request):
        await asyncio.sleep(3600)
    return answer()


def stubborn(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """A generator that does not let itself be closed."""
    with noted(request):
        for part in parts(request):
            try:
                yield part
            except GeneratorExit:
                yield part


async def async_stubborn(request: ModelInferRequest) -> ModelInferResponse:
    """Does not let itself be cancelled."""
    with noted(request) as journal:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            journal.note("told")
        while not gate_of(request).is_open:
            await asyncio.sleep(0.002)
    return answer()


async def async_tidy(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    """Takes its time to clean up."""
    try:
        for part in parts(request):
            yield part
    finally:
        for _ in range(10):
            await asyncio.sleep(0.001)
        Journal.of(request).note("tidied")


def halfway(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Between its two responses it stays in the gate."""
    with noted(request):
        stream.send(answer())
        gate_of(request).stay(lambda: context.cancelled)
        stream.send(answer())


def once(request: ModelInferRequest) -> ModelInferResponse:
    gate_of(request).stay()
    return answer()


def quick(request: ModelInferRequest) -> ModelInferResponse:
    Journal.of(request).note("started")
    return answer()


async def async_quick(request: ModelInferRequest) -> ModelInferResponse:
    return answer()


STREAMS: list[Callable[..., Any]] = [endless, endless_yielded, silent, halfway, stubborn]
UNARY: list[Callable[..., Any]] = [silent_unary, once, quick]
ASYNC_STREAMS: list[Callable[..., Any]] = [
    *(async_endless, async_endless_yielded, async_silent, async_silent_yielded, async_tidy),
]
ASYNC_UNARY: list[Callable[..., Any]] = [async_silent_unary, async_quick, async_stubborn]


def declare(app: AnyServe, streams: list[Callable[..., Any]], unary: list[Callable[..., Any]], **options: Any) -> None:
    for handler in [*streams, *unary]:
        app.capability(type=handler.__name__.replace("_", "-"), stream=handler in streams, **options)(handler)


declare(app, STREAMS, UNARY)
declare(threads, STREAMS, UNARY, concurrency=4)
# The handlers that are not async run on threads beside the loop.
declare(loop, STREAMS, UNARY, concurrency=4)
declare(loop, ASYNC_STREAMS, ASYNC_UNARY, concurrency=100)
