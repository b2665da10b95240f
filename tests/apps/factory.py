"""A factory that notes its calls, and an application in a class."""

from __future__ import annotations

import os
from pathlib import Path

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse


def create_app() -> AnyServe:
    """Notes the process that calls it."""
    with Path(os.environ["ANYSERVE_TEST_CALLS"]).open("a") as calls:
        calls.write(f"{os.getpid()}\n")
    made_by = os.getpid()
    app = AnyServe()

    @app.capability(type="made-by")
    def handler(request: ModelInferRequest) -> ModelInferResponse:
        response = ModelInferResponse()
        response.add_output("pid", data=[made_by])
        return response

    return app


class Holder:
    app = AnyServe()


@Holder.app.capability(type="held")
def held(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()
