"""What the workers of tests.pools.apps do, steered and watched by files: they outlive any process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from tests.waiting import eventually

FOLDER = "ANYSERVE_TEST_FOLDER"
"""The environment variable that names the folder of the files."""


class Note(NamedTuple):
    """A hook of a worker was called."""

    pool: str
    hook: str
    pid: int


class Steering:
    """Holds hooks up, lets them fail, and knows which were called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """What leads a worker here."""
        return {FOLDER: str(self._folder)}

    # The test's side.

    def hold(self, pool: str, hook: str) -> None:
        """From now on the hook does not return."""
        self._file(pool, hook, "hold").touch()

    def release(self, pool: str, hook: str) -> None:
        """The hook returns, again."""
        self._file(pool, hook, "hold").unlink()

    def fail(self, pool: str, hook: str, message: str) -> None:
        """From now on the hook raises that."""
        self._file(pool, hook, "fail").write_text(message)

    def repair(self, pool: str, hook: str) -> None:
        """The hook raises nothing any more."""
        self._file(pool, hook, "fail").unlink()

    def notes(self, pool: str, *hooks: str) -> list[Note]:
        """The calls of a pool's hooks, or of these of them, in order."""
        path = self._folder / "journal"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [Note(name, hook, int(pid)) for name, hook, pid in map(str.split, lines)]
        return [note for note in found if note.pool == pool and (not hooks or note.hook in hooks)]

    def hooks(self, pool: str) -> list[str]:
        """The names of the pool's hooks that were called, in order."""
        return [note.hook for note in self.notes(pool)]

    def pids(self, pool: str, hook: str = "on_start") -> list[int]:
        """The processes that called the hook, in order."""
        return [note.pid for note in self.notes(pool, hook)]

    def wait_called(self, pool: str, hook: str, count: int = 1) -> list[int]:
        """Waits until the hook was called so many times; returns by which processes."""
        eventually(lambda: len(self.pids(pool, hook)) >= count, f"{count} calls of {hook} in pool {pool}")
        return self.pids(pool, hook)

    # The worker's side.

    def called(self, pool: str, hook: str) -> None:
        """Notes the call, and does what the test wants of it."""
        with (self._folder / "journal").open("a") as journal:
            journal.write(f"{pool} {hook} {os.getpid()}\n")
        while self._file(pool, hook, "hold").exists():
            time.sleep(0.002)
        failing = self._file(pool, hook, "fail")
        if failing.exists():
            raise RuntimeError(failing.read_text())

    def _file(self, pool: str, hook: str, what: str) -> Path:
        return self._folder / f"{pool}.{hook}.{what}"
