"""Workers that call each other, and do what the tests say (tests.objects.remote).

``one`` and ``two`` are one process each with one handler at a time; ``pair`` runs two at a time; ``many`` may have two
processes; ``loop`` runs coroutine functions, and functions beside them; ``stream`` and ``astream`` send what a
generator gives; ``batch`` takes up to four requests at once.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

from tests.objects.apps.remote import answer, start

app = AnyServe()


class Runner(Worker):
    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return answer(start(request, context))


class Looped(Worker):
    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        result = start(request, context)
        return answer(await result if inspect.isawaitable(result) else result)


class Streaming(Worker):
    def handle(self, request: ModelInferRequest, context: Context) -> Iterator[ModelInferResponse]:
        for result in start(request, context):
            yield answer(result)


class AsyncStreaming(Worker):
    async def handle(self, request: ModelInferRequest, context: Context) -> AsyncIterator[ModelInferResponse]:
        async for result in start(request, context):
            yield answer(result)


class Batched(Worker):
    def handle(self, requests: list[ModelInferRequest], contexts: list[Context]) -> list[ModelInferResponse]:
        pairs = zip(requests, contexts, strict=True)
        return [answer([len(requests), start(request, context)]) for request, context in pairs]


def serve(name: str, worker: type[Worker], **options: Any) -> None:
    """Adds a pool that is called by its name."""
    options = {"max": 1, "idle_timeout": "never", **options}
    app.worker(capability={"type": "caller", "model": name}, name=name, **options)(worker)


serve("one", Runner)
serve("two", Runner)
serve("pair", Runner, concurrency=2)
serve("many", Runner, max=2)
serve("loop", Looped, concurrency=16)
serve("narrow", Looped, concurrency=1)
serve("stream", Streaming)
serve("astream", AsyncStreaming, concurrency=4)
serve("batch", Batched, max_batch_size=4, max_batch_delay="300ms")
