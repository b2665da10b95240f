"""The command line of a worker process, which only an agent writes."""

from __future__ import annotations

from ..errors import TargetError
from ..record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

__all__ = ["Arguments", "parse"]


class Arguments(NamedTuple):
    """``TARGET [--factory] [--args JSON] [--pool NAME] [--describe]``."""

    target: str
    factory: bool = False
    """The target makes the application."""
    arguments: Mapping[str, Any] | None = None
    """Keywords for the factory."""
    pool: str | None = None
    """The pool to serve."""
    describe: bool = False
    """Only say what there is to serve."""


def parse(arguments: Sequence[str]) -> Arguments:
    """Parses by hand: ``argparse`` would take longer to import than all else.

    Raises:
        TargetError: What is wrong with them.
    """
    found: dict[str, Any] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument in ("--factory", "--describe"):
            found[argument[2:]] = True
        elif argument == "--args":
            found["arguments"] = _mapping(_value(argument, rest))
        elif argument == "--pool":
            found["pool"] = _value(argument, rest)
        elif argument.startswith("-") or "target" in found:
            raise TargetError(f"a worker process knows no argument '{argument}'")
        else:
            found["target"] = argument
    if "target" not in found:
        raise TargetError("a worker process needs the target, MODULE:ATTRIBUTE")
    if found.get("arguments") and not found.get("factory"):
        raise TargetError(f"only a factory takes arguments; is '{found['target']}' one? then add --factory")
    return Arguments(**found)


def _value(option: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise TargetError(f"{option} needs a value")
    return value


def _mapping(text: str) -> dict[str, Any]:
    import json

    try:
        found = json.loads(text)
    except ValueError as error:
        raise TargetError(f"--args {text} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise TargetError(f'--args {text} is not a JSON object such as {{"model": "llama"}}')
    return found
