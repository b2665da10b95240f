"""anyserve: a serving runtime for large-scale inference.

Define what you serve, and run it with ``anyserve run module:app``:

    from anyserve import AnyServe, ModelInferRequest, ModelInferResponse

    app = AnyServe()

    @app.capability(type="echo")
    def echo(request: ModelInferRequest) -> ModelInferResponse:
        response = ModelInferResponse(model_name=request.model_name, id=request.id)
        for inp in request.inputs:
            out = response.add_output(name=f"output_{inp.name}", datatype=inp.datatype, shape=inp.shape)
            out.contents = inp.contents
        return response

Call it with :class:`Client`, or with any KServe v2 client.
"""

from . import batch
from ._core import Capability, Context, Stream, __version__
from .app import AnyServe, TensorSpec
from .client import AsyncClient, AsyncResultStream, Client, InferResult, ResultStream
from .errors import AnyserveError
from .kserve import InferTensorContents, ModelInferRequest, ModelInferResponse, Tensor
from .stream import AsyncStream

__all__ = [
    "AnyServe",
    "AnyserveError",
    "AsyncClient",
    "AsyncResultStream",
    "AsyncStream",
    "Capability",
    "Client",
    "Context",
    "InferResult",
    "InferTensorContents",
    "ModelInferRequest",
    "ModelInferResponse",
    "ResultStream",
    "Stream",
    "Tensor",
    "TensorSpec",
    "__version__",
    "batch",
]
