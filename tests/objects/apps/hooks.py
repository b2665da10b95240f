"""Workers that use objects where there is no request: when they start, sleep, wake and stop.

The environment variable FOLDER names a folder; each hook writes there what it could do. ``plain`` runs on a thread,
``loop`` on an event loop.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyserve
import numpy as np
from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

FOLDER = "ANYSERVE_TEST_FOLDER"

app = AnyServe()


def attempt(name: str, hook: str) -> None:
    """Uses everything, and writes down what happened."""
    done: list[str] = []
    try:
        ref = anyserve.create(np.full(20_000, 3, np.uint8), key=f"{name} {hook}")
        done.append(f"created {int(np.asarray(anyserve.get(ref)).sum())}")
        empty = anyserve.create_empty(16, "INT8")
        empty.array[:] = 1
        done.append(f"sealed {empty.seal().size}")
        done.append(f"found {anyserve.lookup(f'{name} {hook}') == ref}")
        # A client that is there to look would ask for it by its key.
        done.append(f"called {anyserve.call('answer').response.parameters['answer']}")
    except Exception as error:
        done.append(f"{type(error).__name__}: {error}")
    path = Path(os.environ[FOLDER], f"{name}.{hook}")
    path.with_suffix(".part").write_text("\n".join(done))
    path.with_suffix(".part").rename(path)


def outside(name: str) -> None:
    """Tries each thing that a worker has no use of before it is ready."""
    tries: dict[str, Any] = {
        "create": lambda: anyserve.create(b"abc"),
        "create_empty": lambda: anyserve.create_empty(16, "INT8"),
        "get": lambda: anyserve.get("key"),
        "lookup": lambda: anyserve.lookup("key"),
        "delete": lambda: anyserve.delete("key"),
        "stat": lambda: anyserve.stat("key"),
        "call": lambda: anyserve.call("answer"),
    }
    lines = []
    for what, function in tries.items():
        try:
            function()
            lines.append(f"{what}: nothing")
        except Exception as error:
            lines.append(f"{what}: {type(error).__name__}: {error}")
    Path(os.environ[FOLDER], f"{name}.on_start").write_text("\n".join(lines))


OPTIONS: dict[str, Any] = {"max": 1, "idle_timeout": "never"}


@app.worker(capability={"type": "plain"}, name="plain", **OPTIONS)
class Plain(Worker):
    def on_start(self) -> None:
        outside("plain")

    def on_sleep(self, level: int) -> None:
        attempt("plain", "on_sleep")

    def on_wake(self) -> None:
        attempt("plain", "on_wake")

    def on_stop(self) -> None:
        attempt("plain", "on_stop")

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return ModelInferResponse()


@app.worker(capability={"type": "loop"}, name="loop", **OPTIONS)
class Looped(Worker):
    async def on_start(self) -> None:
        outside("loop")

    async def on_sleep(self, level: int) -> None:
        attempt("loop", "on_sleep")

    async def on_wake(self) -> None:
        attempt("loop", "on_wake")

    async def on_stop(self) -> None:
        attempt("loop", "on_stop")

    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return ModelInferResponse()


@app.worker(capability={"type": "answer"}, name="answer", min=1, **OPTIONS)
class Answering(Worker):
    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return ModelInferResponse(parameters={"answer": 42})
