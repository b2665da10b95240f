"""Child processes that never outlive the benchmark, and what /proc says about them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["BenchError", "children", "command_line", "output", "resident", "running", "tail"]

STOP_SECONDS = 15.0


class BenchError(Exception):
    """The benchmark cannot go on; the message says why and what to do."""


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, *, cwd: Path | None = None, read_output: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a command and stops it at the end. What it prints goes to ``log``, or its standard output to a pipe."""
    with log.open("ab") as file:
        # Its own session, so that one signal reaches all that it starts and Ctrl-C on the terminal only us.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if read_output else file,
            stderr=file,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def output(command: Sequence[str], log: Path, seconds: float) -> str:
    """What a command prints to its standard output; it must end well, and within so many seconds."""
    with running(command, log, read_output=True) as process:
        try:
            printed = process.communicate(timeout=seconds)[0].decode(errors="replace")
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{command[0]} did not end within {seconds:.0f} s:\n{tail(log)}") from error
        if process.returncode != 0:
            raise BenchError(f"{command[0]} ended with {process.returncode}:\n{printed[-2000:]}\n{tail(log)}")
        return printed


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:
        # Also when it ended in good order: what it started may still be there.
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def children(pid: int) -> list[int]:
    """The direct children of a process, whichever of its threads started them."""
    lists = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for text in lists for child in text.split()]


def resident(pid: int) -> float:
    """The resident memory of a process (VmRSS) in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) * 1024
    raise BenchError(f"process {pid} has ended: it has no resident memory")


def command_line(pid: int) -> str:
    """The arguments of a process, separated by blanks."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
