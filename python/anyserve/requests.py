"""Requests, from what users give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._core import ObjectRef
from .kserve import ModelInferRequest, Tensor

__all__ = ["make_request"]


def make_request(
    model_name: str,
    model_version: str,
    request_id: str,
    inputs: Mapping[str, Any] | None,
    parameters: Mapping[str, Any] | None,
    outputs: Sequence[str],
    capability: Mapping[str, Any] | None = None,
) -> ModelInferRequest:
    """A request as :meth:`anyserve.Client.infer` describes it."""
    given = dict(parameters or {})
    given.update({f"cap.{key}": value for key, value in (capability or {}).items()})
    request = ModelInferRequest(model_name, model_version, request_id, parameters=given)
    request.requested_outputs = list(outputs)
    for name, data in (inputs or {}).items():
        if isinstance(data, ObjectRef):
            request.add_input(name, data=data)
        elif isinstance(data, Tensor):
            contents = data.object_ref or data.contents
            request.add_input(name, data.datatype, data.shape, contents, parameters=data.parameters)
        else:
            # A scalar is a tensor of one element.
            plain = data if hasattr(data, "__len__") and not isinstance(data, str | bytes) else [data]
            request.add_input(name, data=plain)
    return request
