"""What the tests of configuration files share: a way to read one from a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyserve.config import ConfigError, load_config

if TYPE_CHECKING:
    from anyserve.config import Config

Load = Callable[[str], "Config"]
Wrong = Callable[[str], list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads a file with the text."""

    def load(text: str) -> Config:
        path = tmp_path / "anyserve.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load


@pytest.fixture
def wrong(load: Load) -> Wrong:
    """What is wrong with a file with the text, each as ``line:column: message``."""

    def wrong(text: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            load(text)
        return [f"{problem.line}:{problem.column}: {problem.message}" for problem in raised.value.problems]

    return wrong
