"""Handlers that measure calls from within: `caller` and `acaller` call `echo` as often as they are told."""

import time
from typing import Any

import numpy as np
from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

app = AnyServe()

INPUTS = {"IN": np.zeros(16, np.uint8)}


class Echo(Worker):
    """What is called: the inputs come back."""

    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        """One response."""
        response = ModelInferResponse(model_name=request.model_name, id=request.id)
        for inp in request.inputs:
            out = response.add_output(name="OUT", datatype=inp.datatype, shape=inp.shape)
            out.contents = inp.contents
        return response


def measured(nanoseconds: list[int]) -> ModelInferResponse:
    """How long each call took."""
    response = ModelInferResponse()
    response.add_output("nanoseconds", data=np.array(nanoseconds, np.int64))
    return response


class Caller(Worker):
    """Calls by ``context.call``."""

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        """One call after the other."""
        took = []
        for _ in range(int(request.parameters["calls"])):
            begun = time.perf_counter_ns()
            context.call("echo", INPUTS)
            took.append(time.perf_counter_ns() - begun)
        return measured(took)


class AsyncCaller(Worker):
    """Calls by ``context.acall``."""

    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        """One call after the other."""
        took = []
        for _ in range(int(request.parameters["calls"])):
            begun = time.perf_counter_ns()
            await context.acall("echo", INPUTS)
            took.append(time.perf_counter_ns() - begun)
        return measured(took)


POOLS: dict[str, type[Any]] = {"echo": Echo, "caller": Caller, "acaller": AsyncCaller}
for name, worker in POOLS.items():
    app.worker(capability={"type": name}, name=name, min=1, max=1)(worker)
