"""What a value of the file may be: each kind reads one, and says in JSON schema what it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from yaml.nodes import Node, ScalarNode

from .document import REFUSED_TAG
from .mappings import what
from .place import At, RefusedError, shown
from .scalars import Form, Scalar, read_scalar

__all__ = ["INVALID", "Kind", "Or", "ScalarKind", "read"]

INVALID: Any = object()
"""Stands for a value that is wrong; what is wrong with it is told already."""


class Kind(ABC):
    """What a value may be."""

    @property
    @abstractmethod
    def wanted(self) -> str:
        """What it is, for messages: ``a duration such as 30s``."""

    @abstractmethod
    def read(self, node: Node, at: At) -> Any:
        """The value, or INVALID if what is wrong was told.

        Raises:
            RefusedError: It is something else.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The JSON schema of what :meth:`read` takes."""

    def unlike(self, node: Node) -> RefusedError:
        """That a node is not of this kind at all."""
        return RefusedError(f"{what(node)} stands where {self.wanted} belongs")


def read(kind: Kind, node: Node, at: At) -> Any:
    """The value of a node, or INVALID once what is wrong with it is told."""
    if node.tag == REFUSED_TAG:
        return INVALID
    try:
        return kind.read(node, at)
    except RefusedError as refused:
        at.refuse(str(refused))
        return INVALID


class ScalarKind(Kind):
    """A kind of single values."""

    def read(self, node: Node, at: At) -> Any:
        if not isinstance(node, ScalarNode):
            raise self.unlike(node)
        scalar = read_scalar(node)
        if scalar.form is Form.NOTHING and not scalar.text:
            raise self.unlike(node)
        return self.convert(scalar)

    @abstractmethod
    def convert(self, scalar: Scalar) -> Any:
        """The value; raises RefusedError."""

    def refused(self, scalar: Scalar) -> RefusedError:
        """That a scalar is not of this kind, and why if it looks as if it were."""
        if scalar.form in (Form.UNCLEAR, Form.NOTHING):
            return RefusedError(f"YAML reads {scalar.plain} as {scalar.meaning}, but {self.wanted} belongs here")
        if scalar.quoted and scalar.form is Form.TEXT:
            return RefusedError(f"{shown(scalar.text)} is a text, because it is quoted; {self.wanted} belongs here")
        return RefusedError(f"{shown(scalar.text)} is not {self.wanted}")


@dataclass(frozen=True)
class Or(Kind):
    """A word that stands for a value, or else another kind."""

    word: str
    value: Any
    kind: Kind

    @property
    def wanted(self) -> str:
        return f"{self.kind.wanted}, or {self.word}"

    def read(self, node: Node, at: At) -> Any:
        if isinstance(node, ScalarNode) and node.value == self.word:
            return self.value
        try:
            return self.kind.read(node, at)
        except RefusedError as refused:
            raise RefusedError(f"{refused}, or {self.word}") from None

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": self.word}, self.kind.schema()]}
