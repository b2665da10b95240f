"""Handlers that note the order in which they ran, each capability with its own place in the queue."""

from __future__ import annotations

import time

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse

from tests.gate import Gate

app = AnyServe()


@app.capability(type="plain")
@app.capability(type="first", priority=1)
@app.capability(type="last", priority=9)
@app.capability(type="minute", slo=60)
@app.capability(type="hour", slo=3600)
@app.capability(type="prompt", slo=5)
@app.capability(type="tight", slo=0.3)
@app.capability(type="few", max_queue_size=2)
@app.capability(type="others")
def turn(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    """Notes the request's id in the file of the parameter; takes as long as the gate or the parameter says."""
    if "notes" in request.parameters:
        with open(str(request.parameters["notes"]), "a") as notes:
            notes.write(f"{request.id}\n")
    if "gate" in request.parameters:
        Gate(str(request.parameters["gate"])).stay(lambda: context.cancelled)
    time.sleep(float(request.parameters.get("seconds", 0)))
    return ModelInferResponse()
