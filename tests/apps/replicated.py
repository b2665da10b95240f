"""Handlers of a replica that says which one it is, by the environment variable REPLICA."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

from tests.gate import Gate

app = AnyServe()


def answer(request: ModelInferRequest) -> ModelInferResponse:
    """Says which replica it was, after ``delay`` seconds if the request has that parameter."""
    time.sleep(float(str(request.parameters.get("delay", 0))))
    if "gate" in request.parameters:
        Gate(str(request.parameters["gate"])).stay()
    response = ModelInferResponse()
    response.add_output("replica", data=[os.environ["REPLICA"]])
    return response


app.capability(type="again", idempotent=True)(answer)
app.capability(type="once")(answer)
if extra := os.environ.get("EXTRA"):
    app.capability(type=extra)(answer)


@app.capability(type="count", stream=True)
def count(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """Two responses, with a gate between them if the request names one."""
    for number in range(2):
        if number and "gate" in request.parameters:
            Gate(str(request.parameters["gate"])).stay()
        response = ModelInferResponse()
        response.add_output("replica", data=[os.environ["REPLICA"]])
        yield response
