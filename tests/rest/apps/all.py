"""Handlers for what REST clients ask: any tensors, declared ones, streams, errors, and one that waits."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import numpy as np
from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse
from anyserve.errors import NotFoundError

from tests.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

app = AnyServe()


@app.capability(type="echo")
def echo(request: ModelInferRequest) -> ModelInferResponse:
    """The inputs under their own names, and the parameters."""
    response = ModelInferResponse(parameters=request.parameters)
    for tensor in request.inputs:
        response.add_output(tensor.name, tensor.datatype, list(tensor.shape)).contents = tensor.contents
    return response


@app.capability(
    type="llm",
    stream=True,
    inputs=[("text_input", "BYTES", [1]), ("max_tokens", "INT32", [1])],
    outputs=[("text_output", "BYTES", [1])],
)
def llm(request: ModelInferRequest, context: Context) -> Iterator[ModelInferResponse]:
    """The words of its input, one after the other; fails at the word that the parameter `bad` names."""
    words = request.get_input("text_input").bytes_contents[0].decode().split()
    limit = len(words)
    if len(request.inputs) > 1:
        limit = request.get_input("max_tokens").int_contents[0]
    for word in words[:limit]:
        if word == request.parameters.get("bad"):
            raise ValueError(f"{word} is a bad word")
        response = ModelInferResponse()
        response.add_output("text_output", data=[word])
        yield response
    if "gate" in request.parameters:
        Gate(str(request.parameters["gate"])).stay(lambda: context.cancelled)


@app.capability(type="upper", inputs=[("text_input", "BYTES", [-1, 1])], outputs=[("text_output", "BYTES", [1])])
def upper(request: ModelInferRequest) -> ModelInferResponse:
    tensor = request.get_input("text_input")
    response = ModelInferResponse(parameters={"rank": len(tensor.shape), **request.parameters})
    response.add_output("text_output", data=[text.upper() for text in tensor.bytes_contents])
    return response


@app.capability(type="waits")
def waits(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    Gate(str(request.parameters["gate"])).stay(lambda: context.cancelled)
    return ModelInferResponse()


@app.capability(type="fails")
def fails(request: ModelInferRequest) -> ModelInferResponse:
    match request.parameters["how"]:
        case "raise":
            raise ValueError('a "quoted" reason')
        case "not found":
            raise NotFoundError("no such thing")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    return ModelInferResponse()


@app.capability(type="large")
def large(request: ModelInferRequest) -> ModelInferResponse:
    """As many bytes as the parameter `bytes` says."""
    response = ModelInferResponse()
    response.add_output("y", data=np.zeros(int(request.parameters["bytes"]), np.uint8))
    return response
