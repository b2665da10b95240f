"""The servers under load: ours and the floor; Triton is in ``peers``. What model ``echo`` gets as IN comes as OUT."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tritonclient.grpc as kserve

from benches.processes import BenchError, children, command_line, resident, running, tail

__all__ = ["Server", "Start", "anyserve", "floor", "free_ports", "wait_ready"]

HERE = Path(__file__).resolve().parent
ANYSERVE = str(Path(sys.executable).with_name("anyserve"))
START_SECONDS = 120.0


@dataclass(frozen=True)
class Server:
    """A server that is up."""

    name: str
    port: int
    pid: int

    def memory(self) -> tuple[float, float | None]:
        """Resident bytes of the process that clients talk to and, where it is another, of the handler's."""
        handlers = [child for child in children(self.pid) if _runs_echo(child)]
        return resident(self.pid), resident(handlers[0]) if handlers else None


def _runs_echo(pid: int) -> bool:
    words = command_line(pid)
    return "anyserve.worker" in words or ("triton_python_backend_stub" in words and "/echo/" in words)


@dataclass(frozen=True)
class Start:
    """How ``anyserve run`` came up, in seconds."""

    server: Server
    to_starting_line: float
    to_ready_line: float


@contextlib.contextmanager
def anyserve(logs: Path, module: str = "echo_app", options: Sequence[str] = ()) -> Iterator[Start]:
    """Ours, with one worker that serves the ``app`` of a module of this folder."""
    log = logs / f"{module}.log"
    command = [ANYSERVE, "run", f"benches.{module}:app", "--port", "0", "--metrics-port", "0", *options]
    spawned = time.perf_counter()
    # From the folder above, so that apps can import what the benchmarks import, by the same names.
    with running(command, log, cwd=HERE.parent, read_output=True) as process:
        watchdog = threading.Timer(START_SECONDS, process.kill)
        watchdog.start()
        try:
            _, starting = _read_until(process, r"starting", log)
            ready, now = _read_until(process, r"^ready: .* at grpc://\S+:(\d+) ", log)
        finally:
            watchdog.cancel()
        yield Start(Server("ours", int(ready[1]), process.pid), starting - spawned, now - spawned)


def _read_until(process: subprocess.Popen[bytes], pattern: str, log: Path) -> tuple[re.Match[str], float]:
    """The first line of standard output that matches, and when it came."""
    assert process.stdout is not None
    for line in process.stdout:
        now = time.perf_counter()
        if match := re.search(pattern, line.decode()):
            return match, now
    raise BenchError(f"anyserve did not get ready:\n{tail(log)}")


@contextlib.contextmanager
def floor(binary: Path, logs: Path) -> Iterator[Server]:
    """The bare tonic server."""
    if not binary.is_file():
        raise BenchError(f"there is no {binary}; build it with: cargo build --release -p anyserve-bench-floor")
    log = logs / "floor.log"
    port = free_ports(1)
    with running([str(binary.resolve()), str(port)], log) as process:
        wait_ready(process, port, log)
        yield Server("floor", port, process.pid)


def free_ports(count: int) -> int:
    """The first of ``count`` free ports in a row."""
    for _ in range(100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = 0
            for offset in range(count):
                listener = stack.enter_context(socket.socket())
                listener.bind(("127.0.0.1", first + offset if first else 0))
                first = first or listener.getsockname()[1]
            return first
    raise BenchError(f"found no {count} free ports in a row")


def wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Waits until a server answers that it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        # A plain connection first: a gRPC channel that was refused waits long before it tries again.
        with contextlib.suppress(OSError, kserve.InferenceServerException):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            with contextlib.closing(kserve.InferenceServerClient(f"127.0.0.1:{port}")) as client:
                if client.is_server_ready():
                    return
        time.sleep(0.1)
    why = "it ended" if process.poll() is not None else f"not within {START_SECONDS:.0f} s"
    raise BenchError(f"{process.args!r} did not get ready, {why}:\n{tail(log)}")
