"""Workers that run the functions they are told to (tests.objects.remote).

``one``, ``two`` and ``three`` are one process each with one handler at a time; ``threads`` runs four at a time, and
``loop`` runs coroutine functions too. ``stream`` sends as many responses as the request says.
"""

from __future__ import annotations

import inspect
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

from tests.objects.remote import CONTEXT

app = AnyServe()


def start(request: ModelInferRequest, context: Context) -> Any:
    """Runs the function; a coroutine is still to be awaited."""
    CONTEXT.set(context)
    function = pkgutil.resolve_name(str(request.parameters["function"]))
    arguments = json.loads(str(request.parameters["arguments"]))
    return function(request, *arguments) if request.parameters["inputs"] else function(*arguments)


def answer(result: Any) -> ModelInferResponse:
    """Answers with what the function returned."""
    if isinstance(result, ModelInferResponse):
        return result
    return ModelInferResponse(parameters={"result": json.dumps(result, default=str)})


class Runner(Worker):
    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return answer(start(request, context))


OPTIONS: dict[str, Any] = {"max": 1, "idle_timeout": "never"}

for name in ("one", "two", "three"):
    app.worker(capability={"type": "remote", "model": name}, name=name, **OPTIONS)(Runner)

app.worker(capability={"type": "remote", "model": "threads"}, name="threads", concurrency=4, **OPTIONS)(Runner)


@app.worker(capability={"type": "remote", "model": "loop"}, name="loop", concurrency=4, **OPTIONS)
class Looped(Worker):
    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        result = start(request, context)
        return answer(await result if inspect.isawaitable(result) else result)


@app.worker(capability={"type": "remote", "model": "stream"}, name="stream", **OPTIONS)
class Streaming(Worker):
    def handle(self, request: ModelInferRequest, context: Context) -> Iterator[ModelInferResponse]:
        for number in range(int(str(request.parameters["count"]))):
            yield ModelInferResponse(parameters={"number": number})
