"""Settings that may come from the command line, from a file, or from nobody."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

__all__ = ["Settings"]


class Settings:
    """Options of which it is known whether they were given, so that a file can come between them and the defaults."""

    def __init__(self) -> None:
        self._defaults: dict[str, Any] = {}

    def add(
        self, group: argparse._ActionsContainer, flag: str, default: Any, help: str, shown: str = "", **more: Any
    ) -> None:
        """Adds an option; ``shown`` is its default as the help shows it."""
        name = flag.removeprefix("--").replace("-", "_")
        self._defaults[name] = default
        text = f"{help} (default: {shown or default})"
        group.add_argument(flag, dest=name, default=argparse.SUPPRESS, help=text, **more)

    def values(self, options: argparse.Namespace, file: Mapping[str, Any]) -> dict[str, Any]:
        """Every setting: as it was given, else as the file has it, else the default."""
        given = {name: value for name, value in vars(options).items() if name in self._defaults}
        return {**self._defaults, **{name: file[name] for name in file if name in self._defaults}, **given}
