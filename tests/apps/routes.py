"""Capabilities that are easily confused; each handler answers with its name."""

from __future__ import annotations

from collections.abc import Callable

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

app = AnyServe()


def answers(name: str) -> Callable[[ModelInferRequest], ModelInferResponse]:
    def handler(request: ModelInferRequest) -> ModelInferResponse:
        response = ModelInferResponse()
        response.add_output("by", data=[name])
        return response

    return handler


# The model name "shared" is a model of one and the type of another.
app.capability(type="shared")(answers("type shared"))
app.capability(type="chat", model="shared")(answers("model shared"))
app.capability(type="versioned", version=1)(answers("version 1"))
app.capability(type="versioned", version="2.5")(answers("version 2.5"))
app.capability(type="typed", flag=True)(answers("flag"))
app.capability(type="typed", number=3)(answers("number"))
app.capability(type="typed", ratio=0.5)(answers("ratio"))
app.capability(capability={"Max-Len": 2**70, "timeout": "long"}, type="odd.key_1")(answers("odd"))
