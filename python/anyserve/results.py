"""What a request was answered with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .kserve import ModelInferResponse

__all__ = ["InferResult"]


class InferResult(Mapping[str, Any]):
    """The outputs of a response by name: numpy arrays, lists of bytes (nested by shape) for BYTES, or an
    :class:`anyserve.ObjectRef` where the output is an object.
    """

    def __init__(self, response: ModelInferResponse) -> None:
        self.response = response
        """The whole response: its id, model name and parameters."""
        self._outputs = {output.name: output for output in response.outputs}

    def __getitem__(self, name: str) -> Any:
        output = self._outputs[name]
        reference = output.object_ref
        if reference is not None:
            return reference
        array = output.as_numpy()
        if output.datatype != "BYTES":
            return array
        return array.tolist()

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        return f"InferResult({ {name: self[name] for name in self} })"
