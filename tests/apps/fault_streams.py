"""Handlers for clients and workers that fail while many streams are under way."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
from anyserve import AnyServe, AsyncStream, Context, ModelInferRequest, ModelInferResponse, Stream

from tests.apps.stream_journal import Journal
from tests.gate import Gate

app = AnyServe()
alone = AnyServe()
beside = AnyServe()


def number(value: int, size: int = 1) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("OUT", data=np.full(size, value, np.int32))
    return response


@app.capability(type="flood", concurrency=8, max_queue_size=1000)
async def flood(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    """Responses of 4 KiB without end."""
    while True:
        await asyncio.sleep(0)
        yield number(1, 1024)


@app.capability(type="burst")
async def burst(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    """One response of 1 MiB."""
    yield number(1, 1 << 18)


@app.capability(type="ticking", stream=True, concurrency=100)
async def ticking(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    """A response now and then, without end."""
    value = 0
    while True:
        await stream.send(number(value))
        value += 1
        await asyncio.sleep(0.05)


@app.capability(type="quick", concurrency=200)
async def quick(request: ModelInferRequest) -> ModelInferResponse:
    return number(1)


@app.capability(type="exit")
async def exits(request: ModelInferRequest) -> ModelInferResponse:
    sys.exit(3)


@app.capability(type="exit-yielding", concurrency=4)
async def exits_yielding(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    yield number(1)
    sys.exit(3)


def halfway(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """Between its two responses it stays in the gate."""
    yield number(1)
    Gate(str(request.parameters["gate"])).stay()
    yield number(2)


def once_more(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Stays in the gate after so many responses; runs again where it may."""
    for value in range(4):
        if value == request.parameters["after"]:
            Gate(str(request.parameters["gate"])).stay()
        stream.send(number(value))


def hangs(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Never ends, in the way that the parameter says."""
    Journal.of(request).note("started")
    stream.send(number(1))
    how = request.parameters["how"]
    if how == "in C":
        # Holds the GIL, as extension code may.
        ctypes.PyDLL(None).sleep(3600)
    if how == "after close":
        stream.close()
    while how == "sending":
        stream.send(number(2))
        time.sleep(0.01)
    while how != "polite" or not context.cancelled:
        time.sleep(0.01)
    Journal.of(request).note("told")


async def async_hangs(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None:
    """The same on an event loop; "blocking" blocks it."""
    journal = Journal.of(request)
    journal.note("started")
    await stream.send(number(1))
    while True:
        try:
            await asyncio.sleep(0.01)
            if request.parameters["how"] == "blocking":
                time.sleep(3600)
        except asyncio.CancelledError:
            journal.note("told")
            if request.parameters["how"] == "polite":
                raise


alone.capability(type="hangs", stream=True, timeout=0.3)(hangs)
alone.capability(type="halfway")(halfway)
alone.capability(type="once-more", stream=True, idempotent=True)(once_more)
beside.capability(type="hangs", stream=True, timeout=0.3, concurrency=4)(hangs)
beside.capability(type="async-hangs", stream=True, timeout=0.3)(async_hangs)
beside.capability(type="halfway", concurrency=4)(halfway)
beside.capability(type="quick")(quick)
