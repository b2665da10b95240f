"""`anyserve run` in a terminal: it looks well, and Ctrl-C is for the agent alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, UnavailableError

from tests.background import Background, pid_of
from tests.server import ROOT
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from tests.gate import Gate

# Makes the terminal the process's own, as a login does, before the agent takes its place.
LAUNCH = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable,"
    " [sys.executable, '-m', 'anyserve', *sys.argv[1:]])"
)


class Terminal:
    """Runs a command in a terminal and collects what it shows."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = os.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self._shown = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def shown(self) -> str:
        """The text so far, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self._shown.decode(errors="replace"))

    @property
    def colored(self) -> bool:
        """True if there were colours."""
        return b"\x1b[" in self._shown

    def press(self, keys: bytes) -> None:
        """Types on the keyboard."""
        os.write(self._master, keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self._master)
        print(self.shown)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 4096)
            except OSError:
                # The last process that had it is gone.
                return
            if not data:
                return
            self._shown += data


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal("run", "tests.apps.gated:app", "--port", "0", "--metrics-port", "0") as terminal:
        eventually(lambda: "Ctrl-C stops" in terminal.shown, "the agent is ready")
        yield terminal


def address(terminal: Terminal) -> str:
    match = re.search(r"grpc://(\S+)", terminal.shown)
    assert match is not None
    return match[1]


def test_a_panel_says_what_is_served(terminal: Terminal) -> None:
    assert terminal.colored
    lines = terminal.shown.splitlines()
    assert "starting 1 worker of tests.apps.gated:app" in lines[0]
    assert re.match(r"╭─+ ready ─+╮", lines[1])
    assert any(re.match(r"│ serving +\{type: again\}", line) for line in lines)
    assert any(re.match(r"│ at +grpc://127\.0\.0\.1:\d+ +│", line) for line in lines)
    assert any(re.match(r"│ metrics +http://127\.0\.0\.1:\d+/metrics +│", line) for line in lines)
    assert any(re.match(r"│ by +1 worker of tests\.apps\.gated:app +│", line) for line in lines)


def test_ctrl_c_lets_the_workers_finish(terminal: Terminal, gate: Gate) -> None:
    with Background(address(terminal)) as background, Client(address(terminal)) as client:
        running = background.infer("once", gate.parameters)
        [pid] = gate.wait_entered()
        terminal.press(b"\x03")
        eventually(lambda: refuses(client), "new requests are refused")
        gate.open()
        assert pid_of(running.result(60)) == pid
    assert terminal.process.wait(60) == 0
    eventually(lambda: "stopped" in terminal.shown, "it says that it stopped")
    assert "Traceback" not in terminal.shown


def refuses(client: Client) -> bool:
    """True if new requests are refused, and not only waiting."""
    try:
        client.infer("quick", timeout=0.2)
    except UnavailableError:
        return True
    except DeadlineExceededError:
        pass
    return False
