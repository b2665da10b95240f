"""Handlers that use their streams in unusual ways that are all allowed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Stream

from tests.apps.stream_journal import Journal
from tests.gate import Gate

app = AnyServe()
loop = AnyServe()


def number(value: int) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("OUT", data=np.array([value], np.int32))
    return response


def by_threads(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Four threads send a hundred responses each."""

    def send(first: int) -> None:
        for value in range(first, 400, 4):
            stream.send(number(value))

    threads = [threading.Thread(target=send, args=[first]) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def same_array(request: ModelInferRequest) -> Generator[ModelInferResponse, None, str]:
    """Uses one array for all responses."""
    array = np.zeros(1 << 16, np.int32)
    for value in range(50):
        array[:] = value
        response = ModelInferResponse()
        response.add_output("OUT", data=array)
        yield response
    return "what a generator returns is nobody's"


def same_response(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Uses one response for all."""
    response = number(0)
    for value in range(50):
        response.id = str(value)
        response.parameters["value"] = value
        stream.send(response)


def named(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Gives names of its own, and says what is not its to say."""
    response = ModelInferResponse("the model", "7", "the id", parameters={"triton_final_response": True, "more": 1})
    response.add_output("OUT", data=np.array([1], np.int32), parameters={"unit": "s"})
    stream.send(response)


def goes_on(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """Ends the stream long before itself."""
    stream.send(number(1))
    stream.close()
    Gate(str(request.parameters["gate"])).stay()
    Journal.of(request).note("ended")


def closed_by_another(request: ModelInferRequest, context: Context, stream: Stream) -> None:
    """A thread closes the stream while the handler waits for the client."""
    journal = Journal.of(request)

    def close() -> None:
        journal.wait("sent", 2)
        stream.close()
        journal.note("closed")

    threading.Thread(target=close).start()
    while True:
        stream.send(number(1))
        journal.note("sent")


def quick(request: ModelInferRequest) -> ModelInferResponse:
    return number(1)


STREAMS: list[Callable[..., Any]] = [by_threads, same_array, same_response, named, goes_on, closed_by_another]
for handler in [*STREAMS, quick]:
    for each in (app, loop):
        kind = handler.__name__.replace("_", "-")
        each.capability(type=kind, stream=handler in STREAMS, concurrency=2)(handler)


@loop.capability(type="async-quick")
async def async_quick(request: ModelInferRequest) -> ModelInferResponse:
    return number(1)
