"""A rendezvous between a test and the handlers of tests.apps.gated, by files: it outlives any process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable


class Gate:
    """Handlers enter and stay until the test opens it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = str(path)

    @property
    def parameters(self) -> dict[str, str]:
        """The request parameters that send a handler here."""
        return {"gate": self._path}

    # The test's side.

    def wait_entered(self, count: int = 1) -> list[int]:
        """Waits until handlers have entered so many times in all: the process ids of them."""
        eventually(lambda: len(self.entered()) >= count, f"{count} handlers are in the gate")
        return self.entered()

    def entered(self) -> list[int]:
        """The process id of every handler that ever entered, in order."""
        path = self._file("entered")
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def open(self) -> None:
        """Lets everybody go."""
        self._file("open").touch()

    def close(self) -> None:
        """Lets nobody go from now on."""
        self._file("open").unlink()

    def wait_cancelled(self) -> None:
        """Waits until a handler was told that nobody waits for it."""
        eventually(self._file("cancelled").exists, "a handler saw context.cancelled")

    # The handler's side.

    @property
    def is_open(self) -> bool:
        """True once nobody has to stay."""
        return self._file("open").exists()

    def stay(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Stays until the test opens the gate, or the request is cancelled."""
        with self._file("entered").open("a") as entered:
            entered.write(f"{os.getpid()}\n")
        while not self.is_open:
            if cancelled():
                self._file("cancelled").touch()
                return
            time.sleep(0.002)

    def _file(self, what: str) -> Path:
        return Path(f"{self._path}.{what}")
