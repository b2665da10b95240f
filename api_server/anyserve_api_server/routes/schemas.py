"""KServe's JSON for the OpenAPI document. What is read and written is in ``anyserve.rest``; this only describes it."""

from __future__ import annotations

from typing import Any

from ..models import ShortRequest, ShortResponse

__all__ = ["INFER_REQUEST", "INFER_RESPONSE", "METADATA", "SHORT_REQUEST", "SHORT_RESPONSE"]

DATATYPES = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64", "BYTES"]

_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 32}

_PARAMETERS = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
    "description": "`timeout` (microseconds), `priority` (1 is highest), `binary_data_output`, and the handler's own.",
}

_DATA = {"type": "array", "items": {}, "description": "Row by row, flat or nested."}

_OUTPUT = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": _SHAPE,
        "parameters": {"type": "object"},
        "data": _DATA,
    },
}

INFER_REQUEST: dict[str, Any] = {
    "title": "InferRequest",
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": _PARAMETERS,
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "datatype": {"enum": [*DATATYPES, "FP16", "BF16"]},
                    "shape": _SHAPE,
                    "parameters": {"type": "object"},
                    "data": _DATA,
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
            },
        },
    },
}

INFER_RESPONSE: dict[str, Any] = {
    "title": "InferResponse",
    "type": "object",
    "required": ["model_name", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": _OUTPUT},
    },
}

_TENSORS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
        },
    },
}

METADATA: dict[str, Any] = {
    "title": "ModelMetadata",
    "type": "object",
    "required": ["name", "platform", "inputs", "outputs"],
    "properties": {
        "name": {"type": "string"},
        "versions": {"type": "array", "items": {"type": "string"}},
        "platform": {"type": "string"},
        "inputs": _TENSORS,
        "outputs": _TENSORS,
    },
}

SHORT_REQUEST: dict[str, Any] = ShortRequest.model_json_schema()
SHORT_RESPONSE: dict[str, Any] = ShortResponse.model_json_schema()
