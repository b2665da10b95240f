"""A real etcd, from Debian's package ``etcd-server``."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Self

from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

STARTS = 5
"""How often a start is tried: somebody may take the port in between."""


def is_installed() -> bool:
    """Whether there is one to start."""
    return shutil.which("etcd") is not None


class Etcd:
    """An etcd with its data, killed when the ``with`` ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0

    def __enter__(self) -> Self:
        for _ in range(STARTS):
            self.port = _free_port()
            if self._start():
                return self
        raise AssertionError("etcd does not start: " + (self._folder / "etcd.log").read_text())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """As agents and API servers are told."""
        return f"etcd://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Kills it, as a machine that loses power does."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Starts it again after that, with its data."""
        assert self._start(), "somebody has the port"

    def forget(self) -> None:
        """Loses its data, while it is not running."""
        shutil.rmtree(self._folder / "data")

    def _start(self) -> bool:
        client = f"http://127.0.0.1:{self.port}"
        peers = "http://127.0.0.1:0"
        command = ["etcd", "--data-dir", str(self._folder / "data"), "--log-level", "error"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peers]
        command += ["--heartbeat-interval", "20", "--election-timeout", "100"]
        with (self._folder / "etcd.log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(lambda: self._answers() or self.process.poll() is not None, "etcd answers or ends")
        return self.process.poll() is None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
