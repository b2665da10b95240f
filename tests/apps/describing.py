"""Applications of several pools, for tests of what a worker process says of them."""

from __future__ import annotations

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, Worker

app = AnyServe()


@app.capability(type="echo", gpus=1)
def echo(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


@app.capability(type="add", gpus=2, slo=0.5)
async def add(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


@app.worker(
    capabilities=[{"type": "chat", "model": "llama-70b"}, {"type": "complete", "model": "llama-70b"}],
    min=0,
    max=2,
    gpus=2,
    memory="16GiB",
    resources={"licences": 1},
    asleep={"memory": "4GiB"},
    idle_timeout="5m",
    start_timeout=90,
    stop_timeout="500ms",
    min_residence=0,
    heartbeat_timeout="1h30m",
    eviction_cost=2.5,
    pinned=True,
    max_rss="20g",
    max_requests=1000,
    preload=["json", "email.mime"],
    idempotent=True,
    timeout="1m",
    slo="250ms",
    concurrency=8,
)
class ChatWorker(Worker):
    def on_sleep(self, level: int) -> None: ...

    async def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        return ModelInferResponse()


@app.worker(capability={"type": "plain"}, name="plain.one", idle_timeout="never")
class Plain(Worker):
    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        return ModelInferResponse()


def make(name: str, *, size: int = 1) -> AnyServe:
    """An application with a function of that name."""
    made = AnyServe()
    if size < 0:
        raise TypeError("size is negative")
    made.capability(type=name, size=size)(echo)
    return made


only_gpus = AnyServe()
only_gpus.capability(type="echo", gpus=1)(echo)

only_class = AnyServe()
only_class.worker(capability={"type": "plain"})(Plain)
