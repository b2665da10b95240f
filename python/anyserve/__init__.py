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

from __future__ import annotations

from ._core import Capability, Context, ObjectRef, Stream, __version__
from .app import AnyServe, TensorSpec
from .errors import AnyserveError
from .kserve import InferTensorContents, ModelInferRequest, ModelInferResponse, Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import batch
    from .async_stream import AsyncStream
    from .calls import CallStream, acall, call, stream
    from .client import AsyncClient, AsyncResultStream, Client, ResultStream
    from .objects import create, create_empty, delete, get, lookup, stat
    from .results import InferResult
    from .worker_class import Worker

__all__ = [
    "AnyServe",
    "AnyserveError",
    "AsyncClient",
    "AsyncResultStream",
    "AsyncStream",
    "CallStream",
    "Capability",
    "Client",
    "Context",
    "InferResult",
    "InferTensorContents",
    "ModelInferRequest",
    "ModelInferResponse",
    "ObjectRef",
    "ResultStream",
    "Stream",
    "Tensor",
    "TensorSpec",
    "Worker",
    "__version__",
    "acall",
    "batch",
    "call",
    "create",
    "create_empty",
    "delete",
    "get",
    "lookup",
    "stat",
    "stream",
]

# What few workers need is imported when it is first asked for: a worker starts as fast as its imports are.
_LATER = {
    "AsyncClient": "client",
    "AsyncResultStream": "client",
    "AsyncStream": "async_stream",
    "Client": "client",
    "InferResult": "results",
    "ResultStream": "client",
    "Worker": "worker_class",
    "batch": "batch",
    **dict.fromkeys(["CallStream", "acall", "call", "stream"], "calls"),
    **dict.fromkeys(["create", "create_empty", "delete", "get", "lookup", "stat"], "objects"),
}


def __getattr__(name: str) -> object:
    module_name = _LATER.get(name)
    if module_name is None:
        raise AttributeError(f"module 'anyserve' has no attribute '{name}'")
    from importlib import import_module

    module = import_module(f".{module_name}", __name__)
    found: object = module if name == module_name else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
