"""A worker that holds up its process at every turn, until something is written to the pipe that it names."""

from __future__ import annotations

import ctypes
import os

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, Worker

PIPES = "ANYSERVE_TEST_PIPES"
"""The environment variable that names the folder of the named pipes."""

_library = ctypes.PyDLL(None)


def wait_for(name: str) -> None:
    """Opens the pipe of that name by a C call that holds the GIL; it returns once somebody writes to the pipe."""
    _library.open(os.path.join(os.environ[PIPES], name).encode(), os.O_RDONLY)


if PIPES in os.environ:
    wait_for("import")

app = AnyServe()


@app.worker(capability={"type": "silent"})
class Silent(Worker):
    def on_start(self) -> None:
        wait_for("on_start")

    def on_sleep(self, level: int) -> None:
        wait_for("on_sleep")

    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        wait_for("handle")
        return ModelInferResponse()
