"""What handlers note for the test to read: a word a line, in a file that outlives any process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.waiting import eventually

if TYPE_CHECKING:
    from anyserve import ModelInferRequest


class Journal:
    """One word after the other."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    # The test's side.

    @property
    def parameters(self) -> dict[str, str]:
        """The request parameters that make a handler write here."""
        return {"journal": str(self._path)}

    def words(self) -> list[str]:
        """All words so far."""
        return self._path.read_text().split() if self._path.exists() else []

    def count(self, word: str) -> int:
        """How often the word was noted."""
        return self.words().count(word)

    def wait(self, word: str, count: int = 1) -> None:
        """Waits until the word was noted so often."""
        eventually(lambda: self.count(word) >= count, f"{word!r} is noted {count} times")

    # The handler's side.

    @staticmethod
    def of(request: ModelInferRequest) -> Journal:
        """The one that the request names; else what is noted is lost."""
        return Journal(str(request.parameters.get("journal", os.devnull)))

    def note(self, word: str) -> None:
        """Adds a word."""
        with self._path.open("a") as journal:
            journal.write(f"{word}\n")
