"""Handlers that fail, each in its own way."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from typing import Any

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, errors

from tests.gate import Gate

app = AnyServe()


class StrangeError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even this fails")


@app.capability(type="fine")
def fine(request: ModelInferRequest) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("pid", data=[os.getpid()])
    return response


@app.capability(type="raise")
def raises(request: ModelInferRequest) -> ModelInferResponse:
    """Raises the exception that the parameters name."""
    name, message = str(request.parameters["error"]), str(request.parameters["message"])
    if name == "StrangeError":
        raise StrangeError
    error = getattr(errors, name, None) or getattr(sys.modules["builtins"], name)
    raise error(message * int(request.parameters.get("times", 1)))


@app.capability(type="retry-after")
def retry_after(request: ModelInferRequest) -> ModelInferResponse:
    raise errors.ResourceExhaustedError("later", retry_after=2.5)


@app.capability(type="recurse")
def recurse(request: ModelInferRequest) -> ModelInferResponse:
    return recurse(request)


@app.capability(type="return")
def returns(request: ModelInferRequest) -> Any:
    """Returns what is no response."""
    things: dict[str, Any] = {
        "None": None,
        "dict": {},
        "str": "text",
        "ModelInferRequest": request,
        "type": ModelInferResponse,
    }
    return things[str(request.parameters["what"])]


@app.capability(type="shape")
def shape(request: ModelInferRequest) -> ModelInferResponse:
    """An output whose contents are not set, or not those of its shape."""
    response = ModelInferResponse()
    output = response.add_output("bad", "FP32", [3])
    if request.parameters["set"]:
        response.add_output("four", data=[1, 2, 3, 4], datatype="FP32")
        output.contents = response.get_output("four").contents
    return response


@app.capability(type="parameter")
def parameter(request: ModelInferRequest) -> ModelInferResponse:
    """A parameter that cannot be sent."""
    response = ModelInferResponse()
    response.parameters["bad"] = object()  # type: ignore[assignment]
    return response


@app.capability(type="exit")
def exits(request: ModelInferRequest) -> ModelInferResponse:
    sys.exit(3)


@app.capability(type="quit")
def quits(request: ModelInferRequest) -> ModelInferResponse:
    os._exit(3)


@app.capability(type="segfault")
def segfault(request: ModelInferRequest) -> ModelInferResponse:
    ctypes.string_at(0)
    return ModelInferResponse()


@app.capability(type="abort")
def abort(request: ModelInferRequest) -> ModelInferResponse:
    os.abort()


@app.capability(type="kill")
def kill(request: ModelInferRequest) -> ModelInferResponse:
    os.kill(os.getpid(), signal.SIGKILL)
    return ModelInferResponse()


@app.capability(type="close-all")
def close_all(request: ModelInferRequest) -> ModelInferResponse:
    """Closes every file of the process, as a careless daemon library does."""
    os.closerange(3, 1024)
    return ModelInferResponse()


@app.capability(type="until-cancelled")
def until_cancelled(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    Gate(str(request.parameters["gate"])).stay(lambda: context.cancelled)
    return ModelInferResponse()


@app.capability(type="hang", timeout=0.3)
def hang(request: ModelInferRequest) -> ModelInferResponse:
    """Never returns, in the way that the parameter says."""
    Gate(str(request.parameters["gate"])).stay(lambda: True)
    if request.parameters["how"] == "busy":
        while True:
            pass
    if request.parameters["how"] == "in C":
        # Holds the GIL, as extension code may.
        ctypes.PyDLL(None).sleep(3600)
    if request.parameters["how"] == "child":
        subprocess.run(["sleep", "3600"], check=True)
    time.sleep(3600)
    return ModelInferResponse()


@app.capability(type="limited", timeout=60)
def limited(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


@app.capability(type="garbage")
def garbage(request: ModelInferRequest) -> ModelInferResponse:
    """Writes to every Unix socket of the process: one is the worker's channel to its agent."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
        except OSError:
            # The listing's own.
            continue
        with socket.socket(fileno=os.dup(fd)) as channel:
            if channel.family == socket.AF_UNIX and channel.type == socket.SOCK_STREAM:
                channel.sendall(bytes.fromhex(str(request.parameters["hex"])))
                found += 1
    if not found:
        raise AssertionError("there is no channel")
    if request.parameters["stay"]:
        time.sleep(3600)
    return ModelInferResponse()


@app.capability(type="thread")
def thread(request: ModelInferRequest) -> ModelInferResponse:
    """Leaves a thread behind that never ends."""
    threading.Thread(target=time.sleep, args=[3600]).start()
    return ModelInferResponse()


@app.capability(type="noise")
def noise(request: ModelInferRequest) -> ModelInferResponse:
    """Reads standard input, where nothing is, and writes to the standard outputs."""
    print("said", sys.stdin.read())
    print("complained", file=sys.stderr)
    return ModelInferResponse()


def leave_child() -> None:
    """Starts a child that lives on for a while, with copies of all the files of its parent."""
    if os.fork() == 0:
        time.sleep(15)
        os._exit(0)


@app.capability(type="fork")
def fork(request: ModelInferRequest) -> ModelInferResponse:
    leave_child()
    return ModelInferResponse()


@app.capability(type="fork-and-die")
def fork_and_die(request: ModelInferRequest) -> ModelInferResponse:
    leave_child()
    os.kill(os.getpid(), signal.SIGKILL)
    return ModelInferResponse()
