"""The messages of proto/*.proto as dicts, for tests that speak the agent's end of a worker's channel.

The schema is read from the files themselves; the encoding is that of https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

Message = dict[str, Any]

_FIELD = re.compile(
    r"(?P<label>optional |repeated )?(?:map<(?P<map>[\w, ]+)>|(?P<type>[\w.]+)) (?P<name>\w+) = (?P<id>\d+);"
)
_VARINTS = {"bool", "uint32", "uint64", "int32", "int64"}


class Field(NamedTuple):
    name: str
    type: str
    """A scalar type, or the last part of a message's name."""
    repeated: bool
    map: tuple[str, str] | None


def _read(folder: Path) -> dict[str, dict[int, Field]]:
    """The fields of every message by number, and of every enum none."""
    found: dict[str, dict[int, Field]] = {}
    for path in sorted(folder.glob("*.proto")):
        scopes: list[str] = []
        for line in re.sub(r"//.*", "", path.read_text()).replace("{}", "{\n}").splitlines():
            text = line.strip()
            if opened := re.match(r"(message|enum|oneof|service)\s+(\w+)\s*\{", text):
                # The fields of a oneof are its message's.
                scopes.append(scopes[-1] if opened[1] == "oneof" else opened[2])
                if opened[1] in ("message", "enum"):
                    found[opened[2]] = {}
            elif text.endswith("{"):
                scopes.append("")
            elif text == "}":
                scopes.pop()
            elif scopes and scopes[-1] in found and (field := _FIELD.match(text)):
                key, _, value = (field["map"] or "").partition(",")
                kind = (field["type"] or "").rpartition(".")[2]
                repeated = field["label"] == "repeated "
                pair = (key.strip(), value.strip()) if key else None
                found[scopes[-1]][int(field["id"])] = Field(field["name"], kind, repeated, pair)
    return found


SCHEMA = _read(Path(__file__).parents[1] / "proto")


def encode(message_type: str, message: Message) -> bytes:
    """The message's bytes; what is not in the dict is absent."""
    numbers = {field.name: (number, field) for number, field in SCHEMA[message_type].items()}
    out = bytearray()
    for name, value in message.items():
        number, field = numbers[name]
        if field.map:
            entries = [_entry(field.map, key, item) for key, item in value.items()]
            out += b"".join(_delimited(number, entry) for entry in entries)
        else:
            out += b"".join(_value(number, field.type, item) for item in (value if field.repeated else [value]))
    return bytes(out)


def decode(message_type: str, data: bytes) -> Message:
    """The message as a dict of what is there; lists and maps are always there."""
    return _decode(SCHEMA[message_type], data)


def _decode(fields: dict[int, Field], data: bytes) -> Message:
    found: Message = {field.name: {} if field.map else [] for field in fields.values() if field.map or field.repeated}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        raw: int | bytes
        if key & 7 == 0:
            raw, at = _read_varint(data, at)
        else:
            length, at = (8, at) if key & 7 == 1 else _read_varint(data, at)
            raw, at = data[at : at + length], at + length
        field = fields[key >> 3]
        if field.map and isinstance(raw, bytes):
            item, value = _read_entry(field.map, raw)
            found[field.name][item] = value
        elif field.repeated and isinstance(raw, bytes) and field.type in _VARINTS:
            found[field.name] += _read_packed(raw)
        elif field.repeated:
            found[field.name].append(_read_value(field.type, raw))
        else:
            found[field.name] = _read_value(field.type, raw)
    return found


def _entry(pair: tuple[str, str], key: Any, value: Any) -> bytes:
    return _value(1, pair[0], key) + _value(2, pair[1], value)


def _read_entry(pair: tuple[str, str], raw: bytes) -> tuple[Any, Any]:
    names = ("key", "value")
    fields = {
        number: Field(name, kind, False, None) for number, (name, kind) in enumerate(zip(names, pair, strict=True), 1)
    }
    entry = _decode(fields, raw)
    key, value = (entry.get(name, "" if kind == "string" else 0) for name, kind in zip(names, pair, strict=True))
    return key, value


def _value(number: int, kind: str, value: Any) -> bytes:
    if kind in _VARINTS:
        return _varint(number << 3) + _varint(int(value) & (2**64 - 1))
    if kind == "string":
        return _delimited(number, value.encode())
    return _delimited(number, value if kind == "bytes" else encode(kind, value))


def _read_value(kind: str, raw: int | bytes) -> Any:
    if isinstance(raw, int):
        return bool(raw) if kind == "bool" else raw
    if kind in ("string", "bytes"):
        return raw.decode() if kind == "string" else raw
    if kind == "double":
        return struct.unpack("<d", raw)[0]
    return decode(kind, raw)


def _read_packed(raw: bytes) -> list[int]:
    found, at = [], 0
    while at < len(raw):
        value, at = _read_varint(raw, at)
        found.append(value)
    return found


def _delimited(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at
