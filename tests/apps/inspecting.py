"""Handlers that tell what a handler sees."""

from __future__ import annotations

import numpy as np
from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse

FIELDS = ("bool", "int", "int64", "uint", "uint64", "fp32", "fp64", "bytes")
"""The lists of InferTensorContents, without their ``_contents``."""

app = AnyServe()


@app.capability(type="fields")
def fields(request: ModelInferRequest) -> ModelInferResponse:
    """The typed list of every field of the first input, of the tensor's and of its contents' own."""
    response = ModelInferResponse()
    tensor = request.inputs[0]
    for source, holder in (("tensor", tensor), ("contents", tensor.contents)):
        lists = [repr(getattr(holder, f"{field}_contents")) for field in FIELDS]
        response.add_output(source, data=lists)
    return response


@app.capability(type="views")
def views(request: ModelInferRequest) -> ModelInferResponse:
    """Whether the arrays of each input are the same memory, read-only and aligned."""
    response = ModelInferResponse()
    for tensor in request.inputs:
        first, second = tensor.as_numpy(), tensor.as_numpy()
        flags = [np.shares_memory(first, second), not first.flags.writeable, first.flags.aligned]
        response.add_output(tensor.name, data=flags)
    return response


@app.capability(type="parameters")
def parameters(request: ModelInferRequest) -> ModelInferResponse:
    """The parameters of the request and of its first input, as text and sent back."""
    response = ModelInferResponse(parameters=request.parameters)
    response.add_output("seen", data=[repr(request.parameters)])
    for tensor in request.inputs:
        response.add_output(tensor.name, data=tensor.as_numpy(), parameters=tensor.parameters)
    return response


@app.capability(type="added-parameters")
def added_parameters(request: ModelInferRequest) -> ModelInferResponse:
    """Parameters that are set on the response after it was made."""
    response = ModelInferResponse()
    response.parameters["tokens"] = 7
    response.add_output("out", data=[1]).parameters["unit"] = "s"
    return response


@app.capability(type="context", flavor=1.0)
def context(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    """What the context says: the capability, whether there is time left and how much, and whether it is over."""
    response = ModelInferResponse()
    response.add_output("capability", data=[f"{key}={value}" for key, value in sorted(context.capability.items())])
    response.add_output("limited", data=[context.time_left is not None])
    response.add_output("time_left", data=[context.time_left or 0.0])
    response.add_output("cancelled", data=[context.cancelled])
    return response


@app.capability(type="named")
def named(request: ModelInferRequest) -> ModelInferResponse:
    """The strings of the request."""
    response = ModelInferResponse(model_name="the model", model_version="7", id="the id")
    response.add_output("request", data=[request.model_name, request.model_version, request.id])
    response.add_output("wanted", data=request.requested_outputs)
    return response


@app.capability(type="nothing")
def nothing(request: ModelInferRequest) -> ModelInferResponse:
    """A response of no outputs."""
    return ModelInferResponse()
