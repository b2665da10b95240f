"""Handlers that read and make objects, of which not all fit into memory."""

from __future__ import annotations

import anyserve
import numpy as np
from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


@app.capability(type="first")
def first(request: ModelInferRequest) -> ModelInferResponse:
    """The first byte of an input, however it came."""
    response = ModelInferResponse()
    response.add_output("first", data=request.get_input("data").as_numpy()[:1])
    return response


@app.capability(type="get")
def get(request: ModelInferRequest) -> ModelInferResponse:
    """The first byte of the object of that key."""
    response = ModelInferResponse()
    response.add_output("first", data=np.asarray(anyserve.get(str(request.parameters["key"])))[:1])
    return response


@app.capability(type="create")
def create(request: ModelInferRequest) -> ModelInferResponse:
    """Makes an object in the worker's own memory."""
    data = request.get_input("data").as_numpy()
    ref = anyserve.create(data, key=str(request.parameters["key"]))
    response = ModelInferResponse()
    response.add_output("ref", data=[str(ref)])
    return response
