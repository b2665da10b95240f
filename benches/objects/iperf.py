"""iperf3: what one TCP stream over loopback carries."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path

from benches import processes, servers
from benches.objects.notes import AbsentError
from benches.objects.sides import Measure
from benches.processes import BenchError

__all__ = ["RENO", "default_control", "prepare"]

START_SECONDS = 10.0
RENO = "reno"
"""A congestion control that every Linux has and lets everyone choose."""


def default_control() -> str:
    """The congestion control of all connections that do not choose one; bbr is a slow one over loopback: it paces."""
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def prepare(control: str | None, seconds: float, logs: Path, stack: contextlib.ExitStack) -> Measure:
    """Measures ``rate``: the bytes a second that come through a stream, with a congestion control if one is named."""
    if shutil.which("iperf3") is None:
        raise AbsentError("iperf3 is not on the PATH; install it with: apt-get install iperf3 (Debian, Ubuntu)")
    log = logs / "iperf3.log"
    port = str(servers.free_ports(1))
    stack.enter_context(processes.running(["iperf3", "-s", "-p", port, "--bind", "127.0.0.1"], log))
    # It takes whole seconds, and 0 means for ever.
    options = ["-t", str(round(seconds))] if seconds >= 1 else ["-n", "256M"]
    options += ["-C", control] if control else []
    _until_it_answers(port, log)
    return lambda: {"rate": _run(port, options, 60 + seconds, log)}


def _until_it_answers(port: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _run(port, ["-n", "1M"], START_SECONDS, log)
            return
        except BenchError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _run(port: str, options: list[str], timeout: float, log: Path) -> float:
    printed = processes.output(["iperf3", "-c", "127.0.0.1", "-p", port, "-J", *options], log, timeout)
    summary = json.loads(printed)
    # As JSON it says so when it has failed, and ends with 0.
    if error := summary.get("error"):
        raise BenchError(f"iperf3 failed: {error}")
    received = summary["end"]["sum_received"]
    return float(received["bytes"]) / float(received["seconds"])
