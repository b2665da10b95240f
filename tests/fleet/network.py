"""A machine of its own for a process, by a network namespace, and a cable that can be pulled."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


def run(*command: str) -> None:
    """Runs a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def is_possible() -> bool:
    """Whether this process may make namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"anyserve-{uuid.uuid4().hex[:8]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, timeout=30).returncode == 0
    return made and subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=30).returncode == 0


class Machine:
    """A namespace, linked to this one by a pair of devices; ``here`` and ``there`` are the addresses of the ends."""

    def __init__(self) -> None:
        word = uuid.uuid4().hex[:8]
        self.name = f"anyserve-{word}"
        self._cable = f"as{word}"
        # A test network (RFC 5737), a piece of it by chance.
        piece = int(word, 16) % 64 * 4
        self.here, self.there = f"198.51.100.{piece + 1}", f"198.51.100.{piece + 2}"

    def __enter__(self) -> Self:
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "address", "add", f"{self.here}/30", "dev", self._cable)
        run("ip", "link", "set", self._cable, "up")
        for device in ("lo", "eth0"):
            run("ip", "-n", self.name, "link", "set", device, "up")
        run("ip", "-n", self.name, "address", "add", f"{self.there}/30", "dev", "eth0")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run("ip", "netns", "del", self.name)

    @property
    def prefix(self) -> list[str]:
        """What a command is run there by."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """From now on every packet is lost, and nobody is told."""
        run("ip", "-n", self.name, "link", "set", "eth0", "down")

    def mend(self) -> None:
        """As before."""
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
