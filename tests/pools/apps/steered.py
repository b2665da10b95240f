"""Pools of class workers whose hooks do what the test says (tests.pools.steering).

``a``, ``b`` and ``c`` start and stop; ``s`` and ``t`` sleep, too. They are the models a, b, c of the type letter, and
s, t of the type sleeper. ``stream`` sends three responses. ``loop`` runs on an event loop.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

from tests.gate import Gate
from tests.pools.steering import FOLDER, Steering

STEERING = Steering(Path(os.environ.get(FOLDER, "/nowhere")))


class Steered(Worker):
    pool = ""

    def __init__(self) -> None:
        self.calls = 0

    def on_start(self) -> None:
        STEERING.called(self.pool, "on_start")

    def on_stop(self) -> None:
        STEERING.called(self.pool, "on_stop")

    def handle(self, request: ModelInferRequest, context: Context) -> Any:
        return self.answer(request, context)

    def answer(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        """Says who it is and what it has."""
        self.calls += 1
        if "gate" in request.parameters:
            Gate(str(request.parameters["gate"])).stay(lambda: context.cancelled)
        time.sleep(float(request.parameters.get("takes", 0.0)))
        return ModelInferResponse(
            parameters={
                "pool": self.pool,
                "pid": os.getpid(),
                "calls": self.calls,
                "gpus": ",".join(map(str, self.gpus)),
                "context.gpus": ",".join(map(str, context.gpus)),
                "visible": os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
            }
        )


class Sleeper(Steered):
    def on_sleep(self, level: int) -> None:
        assert level in (1, 2)
        STEERING.called(self.pool, "on_sleep")

    def on_wake(self) -> None:
        STEERING.called(self.pool, "on_wake")


app = AnyServe()
TENSORS = [("x", "FP32", [-1])]

for name in ("a", "b", "c"):
    declare = app.worker(
        capability={"type": "letter", "model": name}, name=name, min_residence=0, idempotent=True, inputs=TENSORS
    )
    declare(type(name.upper(), (Steered,), {"pool": name}))
for name in ("s", "t"):
    declare = app.worker(capability={"type": "sleeper", "model": name}, name=name, min_residence=0)
    declare(type(name.upper(), (Sleeper,), {"pool": name}))


@app.worker(capability={"type": "stream", "model": "stream"}, name="stream")
class Streaming(Steered):
    pool = "stream"

    def handle(self, request: ModelInferRequest, context: Context) -> Iterator[ModelInferResponse]:
        for _ in range(3):
            yield self.answer(request, context)


@app.worker(capability={"type": "loop", "model": "loop"}, name="loop")
class Looped(Steered):
    pool = "loop"

    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        await asyncio.sleep(0)
        return self.answer(request, context)


def make(serves: str = "made", model: str = "", **pairs: str) -> AnyServe:
    """An application of one function, whose capability the caller chooses; it notes that it was made."""
    app = AnyServe()
    STEERING.called("factory", "make")
    changed = os.environ.get("ANYSERVE_TEST_SERVES", serves)

    @app.capability(capability={"type": changed, **({"model": model} if model else {}), **pairs})
    def function(request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return ModelInferResponse(
            parameters={"pid": os.getpid(), "colour": os.environ.get("COLOUR", "none"), "cwd": os.getcwd()}
        )

    return app


def make_streaming() -> AnyServe:
    """An application whose one function streams."""
    app = AnyServe()

    @app.capability(type="flow")
    def flow(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
        for number in range(3):
            yield ModelInferResponse(parameters={"number": number})

    return app
