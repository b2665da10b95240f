"""The keys of a mapping, once its merges (``<<: *base``) are carried out."""

from __future__ import annotations

from typing import NamedTuple

from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .document import REFUSED_TAG
from .place import At, Position, shown
from .scalars import Form, read_scalar

__all__ = ["MERGE_TAG", "Entry", "entries", "what"]

MERGE_TAG = "tag:yaml.org,2002:merge"


class Entry(NamedTuple):
    """A key and what it maps to."""

    name: str
    key: Mark
    node: Node

    def at(self, parent: At) -> At:
        """Its place in the mapping whose place is given."""
        return parent.child(self.name, self.key, self.node.start_mark)


def entries(mapping: MappingNode, at: At) -> list[Entry]:
    """The mapping's entries; a key that is none, or that is there twice, is told and left out.

    What the mapping says itself wins over what it merges, and what is merged first wins over what follows
    (https://yaml.org/type/merge.html).
    """
    own: dict[str, Entry] = {}
    merged: dict[str, Entry] = {}
    first: dict[str, Mark] = {}
    for key, value in mapping.value:
        name = _name(key, at)
        if name is None:
            continue
        if name in first:
            at.refuse(
                f"{shown(name)} is there twice, first in line {first[name].line + 1}", Position.of(key.start_mark)
            )
            continue
        first[name] = key.start_mark
        if key.tag != MERGE_TAG:
            own[name] = Entry(name, key.start_mark, value)
            continue
        for source in _merge_sources(value, at):
            for entry in entries(source, at):
                merged.setdefault(entry.name, entry)
    return [*own.values(), *(entry for name, entry in merged.items() if name not in own)]


def what(node: Node) -> str:
    """What a node is, for messages."""
    if isinstance(node, ScalarNode):
        scalar = read_scalar(node)
        return "nothing" if scalar.form is Form.NOTHING else shown(scalar.text)
    return "a list" if isinstance(node, SequenceNode) else "a mapping"


def _name(key: Node, at: At) -> str | None:
    position = Position.of(key.start_mark)
    if key.tag == REFUSED_TAG:
        return None
    if not isinstance(key, ScalarNode):
        at.refuse(f"{what(key)} stands where a key belongs", position)
        return None
    scalar = read_scalar(key)
    if scalar.form is not Form.TEXT:
        at.refuse(f"YAML reads the key {scalar.plain} as {scalar.meaning}; quote it: '{scalar.text}'", position)
        return None
    return scalar.text


def _merge_sources(value: Node, at: At) -> list[MappingNode]:
    nodes = value.value if isinstance(value, SequenceNode) else [value]
    sources = [node for node in nodes if isinstance(node, MappingNode)]
    for node in nodes:
        if not isinstance(node, MappingNode) and node.tag != REFUSED_TAG:
            at.refuse(f"'<<' merges mappings, such as '<<: *base', not {what(node)}", Position.of(node.start_mark))
    return sources
