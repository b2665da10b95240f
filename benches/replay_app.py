"""Twenty models with room for four: each takes its time to load, and for each token, as the replay says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, Worker

MODELS = 20
FASTER = 60
"""So many times faster than in real time."""
LOAD = 5.0
PER_PROMPT_TOKEN = 0.0002
PER_TOKEN = 0.025
SLO = 10.0
AT_ONCE = 32

app = AnyServe()


class Model(Worker):
    """Answers once its prompt is read, and goes on for as long as its tokens take."""

    async def on_start(self) -> None:
        await asyncio.sleep(LOAD / FASTER)

    async def handle(self, request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
        prompt, generated = request.get_input("tokens").int64_contents
        await asyncio.sleep(prompt * PER_PROMPT_TOKEN / FASTER)
        yield ModelInferResponse()
        await asyncio.sleep(generated * PER_TOKEN / FASTER)


for number in range(MODELS):
    app.worker(
        capability={"type": "chat", "model": f"m{number}"},
        name=f"m{number}",
        resources={"slots": 1},
        min_residence=0.02,
        concurrency=AT_ONCE,
        slo=SLO / FASTER,
        idempotent=True,
    )(type(f"Model{number}", (Model,), {}))
