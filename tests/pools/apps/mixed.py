"""An application of functions and classes."""

from __future__ import annotations

import os

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

app = AnyServe()


def answer(**more: str) -> ModelInferResponse:
    """Says which process it was."""
    return ModelInferResponse(parameters={"pid": os.getpid(), **more})


@app.capability(type="first")
def first(request: ModelInferRequest) -> ModelInferResponse:
    return answer()


@app.capability(type="second")
def second(request: ModelInferRequest) -> ModelInferResponse:
    return answer()


@app.worker(capability={"type": "kept"}, min=1)
class Kept(Worker):
    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        return answer()


@app.worker(
    capabilities=[{"type": "cold", "size": "small"}, {"type": "cold", "size": "large"}],
    name="cold",
    inputs=[("x", "FP32", [-1])],
)
class Cold(Worker):
    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return answer()


hungry = AnyServe()


@hungry.worker(capability={"type": "hungry"}, name="hungry", gpus=3)
class Hungry(Worker):
    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        return answer()


graphics = AnyServe()


@graphics.worker(capability={"type": "graphics"}, name="graphics", gpus=2, max=2, min_residence=0)
class Graphics(Worker):
    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return answer(
            gpus=",".join(map(str, self.gpus)),
            context=",".join(map(str, context.gpus)),
            visible=os.environ["CUDA_VISIBLE_DEVICES"],
        )
