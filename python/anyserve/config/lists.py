"""Kinds of lists, of capabilities, and of whatever JSON can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .._core import Capability
from ..errors import CapabilityError
from .kinds import INVALID, Kind, ScalarKind, read
from .mappings import entries
from .place import At, RefusedError
from .scalars import Form, Scalar, read_scalar
from .sections import Names, Record, Section

__all__ = ["CapabilityPairs", "Json", "ListOf"]


@dataclass(frozen=True)
class ListOf(Kind):
    """A list without repetitions."""

    kind: Kind
    wanted: str = "a list"
    at_least: int = 0

    def read(self, node: Node, at: At) -> Any:
        if not isinstance(node, SequenceNode):
            raise self.unlike(node)
        if len(node.value) < self.at_least:
            raise RefusedError(f"there is nothing in it; {self.wanted} belongs here")
        first: dict[Any, At] = {}
        is_whole = True
        for index, item in enumerate(node.value):
            place = at.item(index, item.start_mark)
            value = read(self.kind, item, place)
            if value is INVALID:
                is_whole = False
            elif value in first:
                place.refuse(f"{value} is there twice, first in line {first[value].value.line}")
                is_whole = False
            else:
                first[value] = place
        return list(first) if is_whole else INVALID

    def schema(self) -> dict[str, Any]:
        schema = {"type": "array", "items": self.kind.schema(), "uniqueItems": True}
        return schema | ({"minItems": self.at_least} if self.at_least else {})


@dataclass(frozen=True)
class Json(Kind):
    """Anything that JSON can say."""

    wanted: str = "a value"

    def read(self, node: Node, at: At) -> Any:
        if isinstance(node, ScalarNode):
            return _json_scalar(read_scalar(node))
        if isinstance(node, SequenceNode):
            items = [read(self, item, at.item(index, item.start_mark)) for index, item in enumerate(node.value)]
            return INVALID if any(item is INVALID for item in items) else items
        assert isinstance(node, MappingNode)
        values = {entry.name: read(self, entry.node, entry.at(at)) for entry in entries(node, at)}
        return INVALID if any(value is INVALID for value in values.values()) else values

    def schema(self) -> dict[str, Any]:
        return {}


def _json_scalar(scalar: Scalar) -> Any:
    if scalar.form is Form.UNCLEAR:
        raise RefusedError(f"YAML reads {scalar.plain} as {scalar.meaning}; write that, or quote it: '{scalar.text}'")
    return scalar.value


@dataclass(frozen=True)
class _CapabilityValue(ScalarKind):
    wanted: str = "a text, a number or a boolean"

    def convert(self, scalar: Scalar) -> Any:
        if scalar.form is Form.NOTHING:
            raise self.refused(scalar)
        # Values compare by their text, so that a model 1.10 must not become 1.1.
        if scalar.form is Form.UNCLEAR or (scalar.form is Form.NUMBER and repr(scalar.value) != scalar.text):
            raise RefusedError(f"YAML reads {scalar.plain} as {scalar.meaning}; quote it: '{scalar.text}'")
        return scalar.value

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean"]}


_PAIRS = Section(
    names=Names(_CapabilityValue(), "a key"), wanted="a capability such as {type: chat, model: llama}", at_least=1
)


@dataclass(frozen=True)
class CapabilityPairs(Kind):
    """A capability. What its keys and values may be, :class:`anyserve.Capability` says."""

    wanted: str = _PAIRS.wanted

    def read(self, node: Node, at: At) -> Any:
        record: Record = _PAIRS.read(node, at)
        if not record.is_whole or not record.places:
            return INVALID
        try:
            return Capability(record.values)
        except (CapabilityError, TypeError, OverflowError) as error:
            raise RefusedError(str(error)) from None

    def schema(self) -> dict[str, Any]:
        return _PAIRS.schema()
