"""A handler that only looks at what it is sent, and what its worker has copied by its own count."""

from __future__ import annotations

from typing import Any

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, _core

app = AnyServe()
# An older build counts nothing, which shows when it is asked.
core: Any = _core


@app.capability(type="look")
def look(request: ModelInferRequest) -> ModelInferResponse:
    array = request.get_input("IN").as_numpy()
    response = ModelInferResponse()
    response.add_output("SEEN", data=[int(array[0]) + int(array[-1])])
    return response


@app.capability(type="copied")
def copied(request: ModelInferRequest) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("BYTES_COPIED", data=[core.copied_bytes()])
    return response
