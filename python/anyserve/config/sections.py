"""Kinds of mappings: with a table of fields, with names of the user's own, or both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from yaml.nodes import MappingNode, Node

from .kinds import INVALID, Kind, read
from .mappings import MERGE_TAG, Entry, entries
from .place import At, Position, RefusedError, shown

__all__ = ["Field", "Names", "Record", "Section"]


@dataclass(frozen=True)
class Field:
    """A key that a section may have: what the reader, the JSON schema and the messages know of it."""

    name: str
    kind: Kind
    description: str
    default: str = ""
    """What holds without it, in words; empty if there is nothing to say."""


@dataclass(frozen=True)
class Names:
    """Keys of the user's own, all with values of one kind."""

    kind: Kind
    wanted: str
    """What a key is, for messages."""
    pattern: str = ""
    """A regular expression for all of a key, in the syntax that Python and JavaScript share; empty for any key."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """Keys that are likely meant as something else, with what to write instead."""


@dataclass(frozen=True)
class Record:
    """What was read of a section."""

    at: At
    values: dict[str, Any] = field(default_factory=dict)
    """By key; without those that are wrong."""
    places: dict[str, At] = field(default_factory=dict)
    """By key; also of those that are wrong."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing in it is wrong."""
        return self.values.keys() == self.places.keys()

    def over(self, base: Record) -> Record:
        """This record, with what it does not have taken from another, also inside the sections of both."""
        values = {name: value for name, value in base.values.items() if name not in self.places} | self.values
        for name, value in self.values.items():
            if isinstance(value, Record) and isinstance(base.values.get(name), Record):
                values[name] = value.over(base.values[name])
        return Record(self.at, values, base.places | self.places)


@dataclass(frozen=True)
class Section(Kind):
    """A mapping; reads a :class:`Record`, also if something in it is wrong."""

    fields: tuple[Field, ...] = ()
    names: Names | None = None
    wanted: str = "a mapping"
    required: tuple[str, ...] = ()
    at_least: int = 0
    """How many entries there must be at least."""
    one_of: tuple[str, ...] = ()
    """Fields of which exactly one must be there."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Fields that make sense only with another one."""
    ignored: str = ""
    """How keys begin that are for the user alone: letters and '-'. None do if it is empty."""

    def read(self, node: Node, at: At) -> Record:
        if not isinstance(node, MappingNode):
            raise self.unlike(node)
        record = Record(at)
        found = entries(node, at)
        # A key that is wrong is told as such; to tell that nothing else is there would mislead.
        if len(found) < self.at_least and all(key.tag == MERGE_TAG for key, _ in node.value):
            raise RefusedError(f"there is nothing in it; {self.wanted} belongs here")
        for entry in found:
            if not (self.ignored and entry.name.startswith(self.ignored)):
                self._read_entry(entry, record)
        self._check_required(record)
        self._check_one_of(record)
        self._check_needs(record)
        return record

    def _read_entry(self, entry: Entry, record: Record) -> None:
        kind = self._kind(entry.name)
        problem = self._problem(entry.name)
        if problem:
            record.at.refuse(problem, Position.of(entry.key))
        if kind is None:
            return
        at = record.places[entry.name] = entry.at(record.at)
        # Under a wrong name too: what is wrong inside is told at once.
        value = read(kind, entry.node, at)
        if value is not INVALID and not problem:
            record.values[entry.name] = value
        elif value is INVALID and entry.name not in self._field_names and self._close(entry.name):
            record.at.refuse(f"{shown(entry.name)} is unknown{self._close(entry.name)}", Position.of(entry.key))

    @property
    def _field_names(self) -> list[str]:
        return [known.name for known in self.fields]

    def _kind(self, name: str) -> Kind | None:
        for known in self.fields:
            if known.name == name:
                return known.kind
        return self.names.kind if self.names and name not in self.names.instead else None

    def _problem(self, name: str) -> str:
        """What is wrong with a name, empty if nothing is."""
        if name in self._field_names:
            return ""
        if self.names is None:
            return f"unknown key {shown(name)}{self._close(name) or ';'} allowed are {', '.join(self._field_names)}"
        if name in self.names.instead:
            return f"{shown(name)} is not allowed here; {self.names.instead[name]}"
        allowed = not self.names.pattern or re.fullmatch(self.names.pattern, name)
        return "" if allowed else f"{shown(name)} is not {self.names.wanted}"

    def _close(self, name: str) -> str:
        close = get_close_matches(name[:64].lower().replace("-", "_"), self._field_names, 1)
        return f"; did you mean '{close[0]}'?" if close else ""

    def _check_required(self, record: Record) -> None:
        for name in self.required:
            if name not in record.places:
                record.at.refuse(f"there is no '{name}', which must be there", record.at.key)

    def _check_one_of(self, record: Record) -> None:
        given = [name for name in self.one_of if name in record.places]
        if self.one_of and not given:
            record.at.refuse(f"there is neither {' nor '.join(self.one_of)}; one of them must be", record.at.key)
        for name in given[1:]:
            record.at.refuse(f"{given[0]} and {name} are both there; only one of them may be", record.places[name].key)

    def _check_needs(self, record: Record) -> None:
        for name, other in self.needs.items():
            if name in record.places and other not in record.places:
                record.at.refuse(f"{name} goes only with {other}, which is not there", record.places[name].key)

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object", "additionalProperties": False}
        if self.fields:
            schema["properties"] = {known.name: _described(known) for known in self.fields}
        if self.names:
            schema["additionalProperties"] = self.names.kind.schema()
            names: dict[str, Any] = {"pattern": f"^{self.names.pattern}$"} if self.names.pattern else {}
            instead = {"not": {"enum": sorted(self.names.instead)}} if self.names.instead else {}
            schema["propertyNames"] = names | instead
        if self.ignored:
            schema["patternProperties"] = {f"^{self.ignored}": {}}
        if self.required:
            schema["required"] = list(self.required)
        if self.at_least:
            schema["minProperties"] = self.at_least
        if self.one_of:
            schema["oneOf"] = [{"required": [name]} for name in self.one_of]
        if self.needs:
            schema["dependentRequired"] = {name: [other] for name, other in self.needs.items()}
        return schema


def _described(known: Field) -> dict[str, Any]:
    default = f" Default: {known.default}." if known.default else ""
    return {"description": known.description + default} | known.kind.schema()
