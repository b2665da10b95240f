"""Handlers of batches: each answers with how large its batch was, and stays in the gates of its requests."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, batch, errors

from tests.gate import Gate

app = AnyServe()


def answers(requests: Sequence[ModelInferRequest]) -> list[ModelInferResponse]:
    """To each request: its place in the batch, and how large that is."""
    responses = []
    for index, request in enumerate(requests):
        response = ModelInferResponse()
        response.add_output("index", data=[index])
        response.add_output("size", data=[len(requests)])
        response.add_output("asked", data=[request.id])
        response.add_output("pid", data=[os.getpid()])
        responses.append(response)
    return responses


def gates(requests: Sequence[ModelInferRequest]) -> list[Gate]:
    """The gates that the requests name, each once."""
    paths = {str(request.parameters["gate"]) for request in requests if "gate" in request.parameters}
    return [Gate(path) for path in sorted(paths)]


@app.capability(type="batch", max_batch_size=4)
def plain(requests: list[ModelInferRequest]) -> list[ModelInferResponse]:
    for gate in gates(requests):
        gate.stay()
    return answers(requests)


app.capability(type="batch-again", max_batch_size=4, idempotent=True)(plain)
app.capability(type="full", max_batch_size=4, max_batch_delay=3600)(plain)
app.capability(type="soon", max_batch_size=4, max_batch_delay=0.3)(plain)


@app.capability(type="contexts", max_batch_size=4)
def with_contexts(requests: list[ModelInferRequest], contexts: list[Context]) -> list[ModelInferResponse]:
    """Stays until one of the requests is cancelled; says which of them are."""
    for gate in gates(requests):
        gate.stay(lambda: any(context.cancelled for context in contexts))
    responses = answers(requests)
    for response, context in zip(responses, contexts, strict=True):
        response.add_output("cancelled", data=[context.cancelled])
        response.add_output("type", data=[context.capability["type"]])
        response.add_output("limited", data=[context.time_left is not None])
    return responses


@app.capability(type="coroutine", max_batch_size=4)
async def coroutine(requests: list[ModelInferRequest]) -> Any:
    for gate in gates(requests):
        # Notes that it is there.
        gate.stay(lambda: True)
        while not gate.is_open:
            await asyncio.sleep(0.002)
    return results(requests)


@app.capability(type="results", max_batch_size=4, max_batch_delay=3600)
def results(requests: list[ModelInferRequest]) -> Any:
    """What the requests' parameters ask for: an error in the place of a response, or another result altogether."""
    responses: list[Any] = answers(requests)
    for index, request in enumerate(requests):
        if raised := request.parameters.get("raise"):
            raise error_of(str(raised))
        if given := request.parameters.get("give"):
            responses[index] = error_of(str(given))
        if what := request.parameters.get("return"):
            return OTHERS[str(what)](responses)
    return responses


def error_of(text: str) -> Any:
    """``NAME: MESSAGE`` as an exception; a name without a message as the class itself, or as what is no exception."""
    name, _, message = text.partition(": ")
    later = errors.ResourceExhaustedError("later", retry_after=2.5)
    things: dict[str, Any] = {"None": None, "dict": {}, "class": ValueError, "exit": SystemExit(3), "later": later}
    if name in things:
        return things[name]
    kind = getattr(errors, name, None) or {"ValueError": ValueError, "KeyError": KeyError}[name]
    return kind(message)


OTHERS: dict[str, Any] = {
    "None": lambda responses: None,
    "one less": lambda responses: responses[:-1],
    "one more": lambda responses: [*responses, responses[0]],
    "empty": lambda responses: [],
    "dict": lambda responses: dict(enumerate(responses)),
    "response": lambda responses: responses[0],
    "str": lambda responses: "abcd",
    "generator": lambda responses: iter(responses),
    "tuple": tuple,
}


@app.capability(type="deadly", max_batch_size=4, max_batch_delay=3600)
def deadly(requests: list[ModelInferRequest]) -> list[ModelInferResponse]:
    """Kills its worker, unless it was killed in this gate before."""
    [gate] = gates(requests)
    gate.stay(lambda: True)
    if len(gate.entered()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return answers(requests)


app.capability(type="deadly-again", max_batch_size=4, max_batch_delay=3600, idempotent=True)(deadly)


@app.capability(type="twice", max_batch_size=4, max_batch_delay=3600)
def twice(requests: list[ModelInferRequest]) -> list[ModelInferResponse | Exception]:
    """Each request's numbers twice, by one call for all requests that fit together."""
    responses: list[ModelInferResponse | Exception] = [ModelInferResponse() for _ in requests]
    for group in batch.groups(requests, "x"):
        array, sizes = batch.stack([requests[index] for index in group], "x")
        for index, part in zip(group, batch.split(array * 2, sizes), strict=True):
            response = ModelInferResponse()
            response.add_output("twice", data=part)
            response.add_output("together", data=[len(group)])
            responses[index] = response
    return responses
