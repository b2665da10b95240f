"""What a scalar of YAML is, strictly: where versions of YAML read it differently, it is unclear.

PyYAML follows YAML 1.1 (https://yaml.org/type/), editors and most other tools YAML 1.2 (https://yaml.org/spec/1.2.2/).
"""

from __future__ import annotations

import enum
import math
import re
from typing import NamedTuple

from yaml.constructor import SafeConstructor
from yaml.nodes import ScalarNode

from .place import shown

__all__ = ["Form", "Scalar", "read_scalar"]

# The numbers of YAML 1.2's core schema, with and without a superfluous zero in front.
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")
_CLEAR_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_LONGEST_NUMBER = 40
"""In characters. PyYAML's sum of a number in base 60 takes quadratic time, and Python refuses very long ones."""


class Form(enum.Enum):
    """What there is to tell apart."""

    TEXT = enum.auto()
    WHOLE = enum.auto()
    NUMBER = enum.auto()
    BOOLEAN = enum.auto()
    NOTHING = enum.auto()
    UNCLEAR = enum.auto()
    """A date, a number in base 8, 16 or 60, ``yes``: not what it looks like, to some readers."""


class Scalar(NamedTuple):
    """A scalar as it was written and as it was read."""

    form: Form
    value: str | int | float | bool | None
    text: str
    quoted: bool
    meaning: str
    """What YAML makes of it: ``the number 330``."""

    @property
    def plain(self) -> str:
        """The text for messages, without quotes where it needs none."""
        return self.text if re.fullmatch(r"[\w.:+~-]{1,60}", self.text) else shown(self.text)


def read_scalar(node: ScalarNode) -> Scalar:
    """What the node is."""
    text: str = node.value
    tag = node.tag.rpartition(":")[2]
    quoted = node.style is not None
    if tag in ("str", "merge", "value"):
        if quoted or not _NUMBER.fullmatch(text):
            return Scalar(Form.TEXT, text, text, quoted, "a text")
        return _number(node, text)
    if tag in ("int", "float"):
        return _number(node, text)
    if tag == "bool":
        value = text.lower() in ("true", "yes", "on")
        clear = text.lower() in ("true", "false")
        return Scalar(Form.BOOLEAN if clear else Form.UNCLEAR, value, text, quoted, f"the boolean {str(value).lower()}")
    if tag == "null":
        return Scalar(Form.NOTHING, None, text, quoted, "nothing")
    return Scalar(Form.UNCLEAR, None, text, quoted, "a date")


def _number(node: ScalarNode, text: str) -> Scalar:
    if len(text) > _LONGEST_NUMBER:
        return Scalar(Form.UNCLEAR, None, text, False, "a very long number")
    if not _CLEAR_NUMBER.fullmatch(text):
        return Scalar(Form.UNCLEAR, None, text, False, _unclear_meaning(node, text))
    if _WHOLE.fullmatch(text):
        return Scalar(Form.WHOLE, int(text), text, False, f"the number {int(text)}")
    value = float(text)
    if not math.isfinite(value):
        return Scalar(Form.UNCLEAR, None, text, False, "a number without end")
    return Scalar(Form.NUMBER, value, text, False, f"the number {value:.15g}")


def _unclear_meaning(node: ScalarNode, text: str) -> str:
    constructor = SafeConstructor()
    try:
        if node.tag.endswith(":int"):
            return f"the number {constructor.construct_yaml_int(node)}"
        if node.tag.endswith(":float"):
            return f"the number {constructor.construct_yaml_float(node):.15g}"
    except (ValueError, IndexError):
        # An explicit tag on what is no number: `!!int five`.
        return "a number that it is not"
    return "a number in some versions only"
