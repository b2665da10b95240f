"""Handlers that leave their traces in the metrics."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, errors

from tests.gate import Gate

app = AnyServe()


def answer() -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("pid", data=[os.getpid()])
    return response


@app.capability(type="work")
@app.capability(type="work-again", idempotent=True)
@app.capability(type="ends")
@app.capability(type="chat", model="llama", version="2")
@app.capability(type="embed", model="llama", version="3")
def work(request: ModelInferRequest) -> ModelInferResponse:
    """Ends as the parameters say."""
    if "gate" in request.parameters:
        Gate(str(request.parameters["gate"])).stay()
    if error := request.parameters.get("error"):
        kind = getattr(errors, str(error), ValueError)
        raise kind(str(request.parameters.get("message", "as it was asked to")))
    return answer()


@app.capability(type="kill")
def kill(request: ModelInferRequest) -> ModelInferResponse:
    os.kill(os.getpid(), signal.SIGKILL)
    return answer()


@app.capability(type="exit")
def leave(request: ModelInferRequest) -> ModelInferResponse:
    os._exit(3)


@app.capability(type="hang", timeout=0.2)
def hang(request: ModelInferRequest) -> ModelInferResponse:
    signal.pause()
    return answer()


@app.capability(type="batch", max_batch_size=4, max_batch_delay=3600)
def batch(requests: list[ModelInferRequest]) -> list[ModelInferResponse]:
    return [answer() for _ in requests]


@app.capability(type="count")
def count(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """Streams as many responses as the parameter says."""
    for _ in range(int(request.parameters["responses"])):
        yield answer()
