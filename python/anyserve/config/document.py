"""From a file to YAML nodes, without executing anything and without letting a file take the process down."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml
from yaml.composer import ComposerError
from yaml.error import Mark, MarkedYAMLError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from .errors import ConfigError, Problem
from .place import Position, Problems, shown

__all__ = ["REFUSED_TAG", "read_document"]

LARGEST_FILE = 1 << 20
"""In bytes."""
DEEPEST = 32
"""How many levels lists and mappings may have; PyYAML would recurse for each."""
MOST_VALUES = 100_000
"""How many keys and values there may be once every alias is replaced by what it stands for."""

REFUSED_TAG = ""
"""The tag of a node that is not usable at all: a problem that is told already."""

_PREFIX = "tag:yaml.org,2002:"
_TAGS: dict[type[Node], set[str]] = {
    ScalarNode: {_PREFIX + name for name in ("bool", "float", "int", "merge", "null", "str", "timestamp", "value")},
    SequenceNode: {_PREFIX + "seq"},
    MappingNode: {_PREFIX + "map"},
}


def read_document(path: Path, problems: Problems) -> Node | None:
    """The top node of the file, or None if the file has nothing in it.

    Raises:
        ConfigError: The file is not there, is not UTF-8 or not YAML, or is too large.
    """
    text = _read_text(path)
    try:
        return _Loader(text, problems).get_single_node()
    except ReaderError as error:
        line, column = _position(text[: error.position])
        message = f"the character U+{error.character:04X} is not allowed here"
        raise ConfigError(path, [Problem(line, column, message)]) from None
    except MarkedYAMLError as error:
        raise ConfigError(path, [_syntax_problem(error)]) from None


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise ConfigError(path, [Problem(0, 0, "there is no such file")]) from None
    except OSError as error:
        raise ConfigError(path, [Problem(0, 0, f"it cannot be read: {error.strerror}")]) from None
    if len(data) > LARGEST_FILE:
        raise ConfigError(path, [Problem(0, 0, f"it is larger than {LARGEST_FILE >> 20}MiB")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8-sig", "ignore"))
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8, in which the file must be"
        raise ConfigError(path, [Problem(line, column, message)]) from None


def _position(before: str) -> Position:
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _syntax_problem(error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = Position.of(mark) if mark else (0, 0)
    if "'\\t'" in (error.problem or ""):
        return Problem(line, column, "a tab cannot indent; use spaces")
    parts = [part for part in (error.context, error.problem) if part]
    return Problem(line, column, f"YAML: {', '.join(parts)}")


class _Extent(NamedTuple):
    """How much a node stands for, aliases replaced."""

    values: int
    depth: int


def _limit(extent: _Extent, mark: Mark) -> None:
    if extent.depth > DEEPEST:
        raise ComposerError(None, None, f"there are more than {DEEPEST} levels of lists and mappings", mark)
    if extent.values > MOST_VALUES:
        raise ComposerError(None, None, f"there are more than {MOST_VALUES} keys and values, aliases replaced", mark)


class _Loader(yaml.SafeLoader):
    """Composes nodes, keeping them small and their tags to those of plain data; constructs nothing."""

    def __init__(self, text: str, problems: Problems) -> None:
        super().__init__(text)
        self._problems = problems
        self._depth = 0
        self._values = 0
        # By the id of each finished node. The nodes are all alive while this loader is.
        self._extents: dict[int, _Extent] = {}

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Mark = event.start_mark
        self._depth += 1
        self._values += 1
        # Before the node's own parts are read: a file of brackets only must end here.
        _limit(_Extent(self._values, self._depth), mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if not isinstance(event, AliasEvent):
            self._refuse(node)
            self._extents[id(node)] = self._extent(node)
        elif id(node) not in self._extents:
            raise ComposerError(None, None, f"the alias '*{event.anchor}' is inside what it stands for", mark)
        extent = self._extents[id(node)]
        _limit(_Extent(extent.values, self._depth + extent.depth), mark)
        return node

    def _extent(self, node: Node) -> _Extent:
        parts: list[Node] = []
        if isinstance(node, SequenceNode):
            parts = node.value
        elif isinstance(node, MappingNode):
            parts = [part for pair in node.value for part in pair]
        extents = [self._extents[id(part)] for part in parts]
        depth = max((extent.depth for extent in extents), default=0)
        return _Extent(1 + sum(extent.values for extent in extents), 1 + depth)

    def _refuse(self, node: Node) -> None:
        """Tells what no part of the file may be, and marks the node so that nobody reads it."""
        if node.tag not in _TAGS[type(node)]:
            tag = "!!" + node.tag.removeprefix(_PREFIX) if node.tag.startswith(_PREFIX) else node.tag
            text = f"the tag {shown(tag)} has no meaning here; leave it out"
        elif isinstance(node, ScalarNode) and any("\ud800" <= character <= "\udfff" for character in node.value):
            text = f"{shown(node.value)} has half a character in it; write the whole one, or \\U and its 8 digits"
        else:
            return
        self._problems.add(Position.of(node.start_mark), "", text)
        node.tag = REFUSED_TAG
