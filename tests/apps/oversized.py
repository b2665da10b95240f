"""Handlers for messages near the limit."""

from __future__ import annotations

import numpy as np
from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

from examples.basic.app import echo_handler

app = AnyServe()

app.capability(type="echo")(echo_handler)


@app.capability(type="size")
def size(request: ModelInferRequest) -> ModelInferResponse:
    """The number of bytes of the first input."""
    response = ModelInferResponse()
    response.add_output("size", data=[len(request.inputs[0].raw)])
    return response


@app.capability(type="zeros")
def zeros(request: ModelInferRequest) -> ModelInferResponse:
    """As many zeros as the parameter ``size`` says."""
    response = ModelInferResponse()
    response.add_output("zeros", data=np.zeros(request.parameters["size"], "uint8"))
    return response
