"""Handlers for tensors in shared memory of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, call

from tests.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

app = AnyServe()

kept: list[Any] = []


@app.capability(type="echo")
def echo(request: ModelInferRequest) -> ModelInferResponse:
    """The inputs as they are; with ``gate``, once the test lets it."""
    if "gate" in request.parameters:
        Gate(str(request.parameters["gate"])).stay()
    response = ModelInferResponse()
    for tensor in request.inputs:
        response.add_output(f"output_{tensor.name}", tensor.datatype, list(tensor.shape)).contents = tensor.contents
    return response


@app.capability(type="parameters")
def parameters(request: ModelInferRequest) -> ModelInferResponse:
    """What it sees of the inputs' parameters."""
    response = ModelInferResponse()
    names = [name for tensor in request.inputs for name in tensor.parameters]
    response.add_output("names", data=[",".join(names)])
    return response


@app.capability(type="sum")
def total(request: ModelInferRequest) -> ModelInferResponse:
    """The sum of all elements, once the test lets it."""
    if "gate" in request.parameters:
        Gate(str(request.parameters["gate"])).stay()
    response = ModelInferResponse()
    response.add_output("sum", data=[int(sum(int(tensor.as_numpy().sum()) for tensor in request.inputs))])
    return response


@app.capability(type="keep")
def keep(request: ModelInferRequest) -> ModelInferResponse:
    """Keeps an array beyond the request, and gives it to whoever comes next without an input."""
    response = ModelInferResponse()
    if request.inputs:
        kept.append(request.inputs[0].as_numpy())
    response.add_output("kept", data=kept[-1] if not request.inputs else np.zeros(1, np.uint8))
    return response


@app.capability(type="again")
def again(request: ModelInferRequest) -> ModelInferResponse:
    """Has another worker answer."""
    response = ModelInferResponse()
    response.add_output("sum", data=call("sum", {"x": request.inputs[0].as_numpy()})["sum"])
    return response


@app.capability(type="count", stream=True)
def count(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """As many arrays as the input says, each filled with its number."""
    for number in range(int(request.inputs[0].as_numpy()[0])):
        response = ModelInferResponse()
        response.add_output("number", data=np.full(100_000, number, np.uint8))
        yield response
