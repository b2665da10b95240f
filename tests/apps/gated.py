"""Handlers that stay in a gate (tests.gate) until the test lets them go, and one that does not."""

from __future__ import annotations

import os

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse
from tests.gate import Gate

app = AnyServe()


def answer() -> ModelInferResponse:
    """Says which process it was."""
    response = ModelInferResponse()
    response.add_output("pid", data=[os.getpid()])
    return response


@app.capability(type="quick")
def quick(request: ModelInferRequest) -> ModelInferResponse:
    return answer()


@app.capability(type="once")
def once(request: ModelInferRequest) -> ModelInferResponse:
    Gate(request.parameters["gate"]).stay()
    return answer()


@app.capability(type="again", idempotent=True)
def again(request: ModelInferRequest) -> ModelInferResponse:
    Gate(request.parameters["gate"]).stay()
    return answer()


@app.capability(type="watchful")
def watchful(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    Gate(request.parameters["gate"]).stay(lambda: context.cancelled)
    return answer()
