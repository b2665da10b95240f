"""Handlers that run on several threads of one worker."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse

from tests.gate import Gate

app = AnyServe()


class Running:
    """How many calls of each handler run at once, and how many did at most."""

    lock = threading.Lock()
    now: ClassVar[dict[str, int]] = {}
    most: ClassVar[dict[str, int]] = {}

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __enter__(self) -> None:
        with self.lock:
            self.now[self.kind] = self.now.get(self.kind, 0) + 1
            self.most[self.kind] = max(self.most.get(self.kind, 0), self.now[self.kind])

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now[self.kind] -= 1


def answer(**outputs: Any) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("pid", data=[os.getpid()])
    response.add_output("thread", data=[threading.get_ident()])
    for name, value in outputs.items():
        response.add_output(name, data=[value])
    return response


@app.capability(type="one")
@app.capability(type="two", concurrency=2)
@app.capability(type="four", concurrency=4)
@app.capability(type="four-again", concurrency=4, idempotent=True)
def gated(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    """Stays in the gate if it is given one."""
    kind = context.capability["type"]
    with Running(kind):
        if "gate" in request.parameters:
            Gate(str(request.parameters["gate"])).stay(lambda: context.cancelled)
        return answer(most=Running.most[kind])


@app.capability(type="exit", concurrency=4)
def leave(request: ModelInferRequest) -> ModelInferResponse:
    """When the gate opens, the one on the thread of the parameter exits, and the others stay."""
    Gate(str(request.parameters["gate"])).stay()
    if (threading.current_thread() is threading.main_thread()) == (request.parameters["thread"] == "main"):
        sys.exit(3)
    time.sleep(3600)
    return answer()


@app.capability(type="limited", concurrency=2, timeout=0.3)
def limited(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    """Runs too long; whether it heeds that it is told so is up to the parameter."""
    Gate(str(request.parameters["gate"])).stay(lambda: True)
    while request.parameters["stubborn"] or not context.cancelled:
        time.sleep(0.002)
    Path(f"{request.parameters['gate']}.told").touch()
    return answer()


@app.capability(type="batch", concurrency=2, max_batch_size=3)
def batch(requests: list[ModelInferRequest]) -> list[ModelInferResponse]:
    for request in requests:
        if "gate" in request.parameters:
            Gate(str(request.parameters["gate"])).stay()
    return [answer(size=len(requests)) for _ in requests]
