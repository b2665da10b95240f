"""A handler whose time is known, with a target that it keeps as long as few wait."""

from __future__ import annotations

import time

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()

SERVICE = 0.05
"""Seconds that each request takes; without work for the processor, which the clients need too."""

SLO = 1.0


@app.capability(type="slow", slo=SLO)
def slow(request: ModelInferRequest) -> ModelInferResponse:
    time.sleep(SERVICE)
    return ModelInferResponse()
