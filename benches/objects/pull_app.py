"""Both ends of a pull: one agent has a large object made, another one gets it."""

from __future__ import annotations

import time

import anyserve
import numpy as np
from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()
made: list[anyserve.ObjectRef] = []
"""What this worker has made, so that nothing goes because its reference does."""
FIRST, LAST = 3, 4


@app.capability(type="make")
def make(request: ModelInferRequest) -> ModelInferResponse:
    """Makes an object of so many bytes, in place, and says its reference."""
    empty = anyserve.create_empty((int(request.parameters["size"]),), np.uint8)
    empty.array.fill(1)
    empty.array[0], empty.array[-1] = FIRST, LAST
    made.append(empty.seal())
    response = ModelInferResponse()
    response.add_output("ref", data=[str(made[-1])])
    return response


@app.capability(type="drop")
def drop(request: ModelInferRequest) -> ModelInferResponse:
    """Deletes all that this worker has made."""
    while made:
        # What was deleted elsewhere may be gone here too.
        anyserve.delete(made.pop())
    return ModelInferResponse()


@app.capability(type="pull")
def pull(request: ModelInferRequest) -> ModelInferResponse:
    """Times ``get`` of an object that is not here, and deletes it here."""
    ref = anyserve.ObjectRef.parse(str(request.parameters["ref"]))
    started = time.perf_counter_ns()
    view = anyserve.get(ref)
    taken = time.perf_counter_ns() - started
    if view.nbytes != int(request.parameters["size"]) or (view[0], view[view.size // 2], view[-1]) != (FIRST, 1, LAST):
        raise AssertionError("a view of something else")
    del view
    anyserve.delete(ref)
    response = ModelInferResponse()
    response.add_output("pull", data=[taken])
    return response
