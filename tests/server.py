"""A real agent as a subprocess, watched by what it prints and by what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import psutil

from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

ROOT = Path(__file__).parents[1]
"""Where the agents run: the applications are named from here."""

MARK = "ANYSERVE_TEST_AGENT"
"""The environment variable by which every process of an agent is found, whoever its parent is by then."""

FREE_PORTS = ["--port", "0", "--metrics-port", "0"]

READY = re.compile(
    r"^ready: (?P<served>.*) at grpc://(?P<host>\S+):(?P<port>\d+)(?: by (?P<workers>\d+) workers?)? after"
)

REST = re.compile(r"^REST: http://\S+:(?P<port>\d+)/v2$")

METRICS = re.compile(r"^metrics: http://127\.0\.0\.1:(?P<port>\d+)/metrics$")


class Collected:
    """Everything that came out of a pipe so far."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """What came so far."""
        with self._changed:
            return "".join(self._lines)

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Waits for a line with the pattern; None if the pipe ends without one."""
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    if match := pattern.search(line):
                        return match
                seen = len(self._lines)
                if self._ended:
                    return None
                assert self._changed.wait(PATIENCE), f"no {pattern.pattern!r} in: {''.join(self._lines)}"

    def finish(self) -> None:
        """Waits for the end of the pipe, which comes when the last process that has it is gone."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a process still holds the pipe"
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Server:
    """An agent that serves ``target``; killed, and looked after, when the ``with`` ends.

    Args:
        target: What follows ``anyserve run``, or the name of the subclass's command.
        arguments: Further options; ``--port 0`` and ``--metrics-port 0`` are there already.
        environment: Added to that of the test.
    """

    COMMAND = "run"
    PREFIX: Sequence[str] = ()
    """What the command is run by, if anything."""

    def __init__(self, target: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._mark = uuid.uuid4().hex
        self._match: re.Match[str] | None = None
        command = [*self.PREFIX, sys.executable, "-m", "anyserve", self.COMMAND, *FREE_PORTS, target, *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {}), MARK: self._mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Collected(self.process.stdout)
        self.stderr = Collected(self.process.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        eventually(lambda: not self.processes(), "no process of the agent is left")
        self.stdout.finish()
        self.stderr.finish()
        # pytest shows it with a test that failed.
        print(self.stdout.text, self.stderr.text, sep="\n")

    def wait_ready(self) -> Self:
        """Waits for the line that says so."""
        self._match = self.stdout.find(READY)
        assert self._match is not None, f"not ready: {self.stderr.text}"
        return self

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._ready()["host"]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._ready()["port"])

    @property
    def http_port(self) -> int:
        """Where its REST API is; for a server with ``--http-port``."""
        match = self.stdout.find(REST)
        assert match is not None, "it says nothing of REST"
        return int(match["port"])

    @property
    def metrics_port(self) -> int:
        """Where its metrics are."""
        match = self.stdout.find(METRICS)
        assert match is not None, "it says nothing of metrics"
        return int(match["port"])

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        return f"{self.host}:{self.port}"

    @property
    def served(self) -> str:
        """The capabilities that it says it serves."""
        return self._ready()["served"]

    @property
    def ready_workers(self) -> int:
        """How many workers it said were ready."""
        return int(self._ready()["workers"])

    def workers(self) -> list[psutil.Process]:
        """Its worker processes that are alive now."""
        return [child for child in psutil.Process(self.process.pid).children() if is_alive(child)]

    def processes(self) -> list[psutil.Process]:
        """Every process that lives and stems from this agent, itself included."""
        return [process for process in psutil.process_iter() if _environment(process).get(MARK) == self._mark]

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal to the agent."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Waits for the agent's end: its exit code. Nothing of it may be left then."""
        code = self.process.wait(60)
        assert not self.processes(), "the agent ended before its workers"
        self.stdout.finish()
        self.stderr.finish()
        return code

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends the signal and waits for the end."""
        self.send_signal(number)
        return self.wait()

    def _ready(self) -> re.Match[str]:
        assert self._match is not None, "wait_ready() comes first"
        return self._match


def is_alive(process: psutil.Process) -> bool:
    """True if it runs: a zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        # Gone, a zombie, or somebody else's.
        return {}
