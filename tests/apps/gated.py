"""Handlers that stay in a gate (tests.gate) until the test lets them go, and one that does not."""

from __future__ import annotations

import ctypes
import os
import signal

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
    Gate(str(request.parameters["gate"])).stay()
    return answer()


@app.capability(type="again", idempotent=True)
def again(request: ModelInferRequest) -> ModelInferResponse:
    Gate(str(request.parameters["gate"])).stay()
    return answer()


@app.capability(type="watchful")
def watchful(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    Gate(str(request.parameters["gate"])).stay(lambda: context.cancelled)
    return answer()


@app.capability(type="deadly")
def deadly(request: ModelInferRequest) -> ModelInferResponse:
    """Kills its worker, each time."""
    Gate(str(request.parameters["gate"])).stay(lambda: True)
    os.kill(os.getpid(), signal.SIGKILL)
    return answer()


app.capability(type="deadly-again", idempotent=True)(deadly)


@app.capability(type="busy")
def busy(request: ModelInferRequest) -> ModelInferResponse:
    """Never returns, and hears nothing meanwhile."""
    Gate(str(request.parameters["gate"])).stay(lambda: True)
    if request.parameters["how"] == "in C":
        # Holds the GIL, as extension code may.
        ctypes.PyDLL(None).sleep(3600)
    while True:
        pass
