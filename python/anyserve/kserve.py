"""The messages of the KServe v2 protocol (Open Inference Protocol), as handlers and clients see them.

A tensor reads the same whether the client sent typed contents or raw ones. Source of the names:
https://github.com/kserve/open-inference-protocol.
"""

from ._core import InferTensorContents, ModelInferRequest, ModelInferResponse, Tensor

DATATYPES = (
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "BF16",
    "FP32",
    "FP64",
    "BYTES",
)
"""The protocol's element types. BF16 has no numpy dtype: arrays of it are seen as uint16, the bits."""

__all__ = ["DATATYPES", "InferTensorContents", "ModelInferRequest", "ModelInferResponse", "Tensor"]
