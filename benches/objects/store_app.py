"""Measures from within a worker: its own objects, and those of another worker of the same agent.

Only what is named is timed; what an object or a view costs when it goes is not.
"""

from __future__ import annotations

import time
from typing import Any

import anyserve
import numpy as np
from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

from benches.objects import memcpy

app = AnyServe()


def _number(request: ModelInferRequest, name: str) -> int:
    return int(request.parameters[name])


def _response(**outputs: list[int] | list[str]) -> ModelInferResponse:
    response = ModelInferResponse()
    for name, data in outputs.items():
        response.add_output(name, data=data)
    return response


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


@app.capability(type="create")
def create(request: ModelInferRequest) -> ModelInferResponse:
    """Times ``create`` of so many bytes, and copying as many in the same process just before."""
    times, source = _number(request, "times"), memcpy.filled(_number(request, "size"))
    copying = memcpy.nanoseconds(source, times)
    creating = []
    for _ in range(times):
        started = time.perf_counter_ns()
        ref = anyserve.create(source)
        creating.append(time.perf_counter_ns() - started)
        _check(anyserve.delete(ref), "there was no object to delete")
    return _response(create=creating, memcpy=copying)


@app.capability(type="get-own")
def get_own(request: ModelInferRequest) -> ModelInferResponse:
    """Times ``get`` of an object that this worker has created."""
    ref = anyserve.create(memcpy.filled(_number(request, "size")))
    getting = _get(ref, _number(request, "times"))
    anyserve.delete(ref)
    return _response(again=getting)


@app.capability(type="get-other")
def get_other(request: ModelInferRequest) -> ModelInferResponse:
    """Times ``get`` of objects of another worker: the first of each, and then more of the last."""
    first = []
    for number, text in enumerate(request.get_input("refs").bytes_contents, start=1):
        ref = anyserve.ObjectRef.parse(text.decode())
        started = time.perf_counter_ns()
        view = anyserve.get(ref)
        first.append(time.perf_counter_ns() - started)
        _check(view.nbytes == _number(request, "size") and view[0] == view[-1] == number, "a view of something else")
        del view
        if number < len(request.get_input("refs").bytes_contents):
            anyserve.delete(ref)
    again = _get(ref, _number(request, "times"))
    anyserve.delete(ref)
    return _response(first=first, again=again)


def _get(ref: anyserve.ObjectRef, times: int) -> list[int]:
    taken = []
    for _ in range(times):
        started = time.perf_counter_ns()
        view = anyserve.get(ref)
        taken.append(time.perf_counter_ns() - started)
        del view
    return taken


@app.capability(type="create-get")
def create_get(request: ModelInferRequest) -> ModelInferResponse:
    """Times ``create`` and then ``get`` of the same object."""
    source = memcpy.filled(_number(request, "size"))
    taken = []
    for _ in range(_number(request, "times")):
        started = time.perf_counter_ns()
        ref = anyserve.create(source)
        view = anyserve.get(ref)
        taken.append(time.perf_counter_ns() - started)
        del view
        anyserve.delete(ref)
    return _response(create_get=taken)


@app.capability(type="relay")
def relay(request: ModelInferRequest) -> ModelInferResponse:
    """Times a call that gives an object to a worker of another pool and takes it back, both by reference."""
    source = memcpy.filled(_number(request, "size"))
    ref = anyserve.create(source)
    taken = []
    for _ in range(_number(request, "times")):
        started = time.perf_counter_ns()
        array = anyserve.get(anyserve.call("second", {"IN": ref})["OUT"])
        _check(array[0] == source[0] and array[-1] == source[-1], "other contents came back")
        taken.append(time.perf_counter_ns() - started)
        del array
    _check(
        np.array_equal(anyserve.get(anyserve.call("second", {"IN": ref})["OUT"]), source), "other contents came back"
    )
    anyserve.delete(ref)
    return _response(relay=taken)


@app.worker(capabilities=[{"type": "make"}, {"type": "second"}], name="other", min=1)
class Other(Worker):
    """The other worker."""

    def on_start(self) -> None:
        self.refs: list[anyserve.ObjectRef] = []

    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return self.make(request) if context.capability["type"] == "make" else self.second(request)

    def make(self, request: ModelInferRequest) -> ModelInferResponse:
        """Creates so many objects, each filled with its number, and says their references."""
        self.refs.clear()
        # Kept, so that none goes because its reference does.
        self.refs = [
            anyserve.create(np.full(_number(request, "size"), number, np.uint8))
            for number in range(1, _number(request, "count") + 1)
        ]
        return _response(refs=[str(ref) for ref in self.refs])

    def second(self, request: ModelInferRequest) -> ModelInferResponse:
        """Looks at the array and answers with the same object."""
        tensor: Any = request.get_input("IN")
        array = tensor.as_numpy()
        response = ModelInferResponse()
        response.add_output("SEEN", data=[int(array[0]) + int(array[-1])])
        response.add_output("OUT", data=tensor.object_ref)
        return response
