"""Load from h2load: one repeated gRPC request over C connections with M streams each."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benches import bodies
from benches.processes import BenchError
from benches.wire import open_rpc

__all__ = ["Case", "Figures", "prepare", "require", "version"]


@dataclass(frozen=True)
class Case:
    """What is sent, and how many requests are under way at once."""

    name: str
    message: bytes
    connections: int
    streams: int
    rpc: str = "ModelInfer"
    # h2load's log of every request costs it time, so it is written only where latencies are wanted.
    latencies: bool = False
    few: int = 2000
    """So many requests warm a server up, and no run has fewer."""


@dataclass(frozen=True)
class Figures:
    """What one run gave; the latencies are in microseconds."""

    rate: float
    p50: float
    p99: float


def require() -> None:
    """Sees that h2load is there."""
    if shutil.which("h2load") is None:
        raise BenchError("h2load is not on the PATH; install it with: apt-get install nghttp2-client (Debian, Ubuntu)")


def version() -> str:
    """The first line of ``h2load --version``."""
    return subprocess.run(["h2load", "--version"], check=True, capture_output=True, text=True).stdout.split("\n")[0]


def prepare(case: Case, server: str, port: int, seconds: float, folder: Path) -> Callable[[], Figures]:
    """Warms a server up; the result loads it for about ``seconds`` each time it is called."""
    with open_rpc(server, port, case.rpc) as rpc:
        data = sum(bodies.FRAME_BYTES + len(answer) for answer in rpc.answers(case.message))
    load = _Load(case, server, port, data, bodies.write(folder / f"{case.name}.body", case.message))
    requests = max(int(load(case.few).rate * seconds), case.few)
    # Each connection takes its share; with equal shares none is left alone at the end.
    requests += -requests % case.connections
    return lambda: load(requests)


@dataclass(frozen=True)
class _Load:
    case: Case
    server: str
    port: int
    data: int
    """Bytes that one request is answered with, frames and all."""
    body: Path

    def __call__(self, requests: int) -> Figures:
        """Sends so many requests; a request that fails is an error."""
        command = ["h2load", "-n", str(requests), "-c", str(self.case.connections), "-m", str(self.case.streams)]
        command += ["-d", str(self.body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
        log = self.body.with_suffix(".log")
        if self.case.latencies:
            # h2load appends to a log that is there.
            log.unlink(missing_ok=True)
            command.append(f"--log-file={log}")
        url = f"http://127.0.0.1:{self.port}/inference.GRPCInferenceService/{self.case.rpc}"
        run = subprocess.run([*command, url], capture_output=True, text=True)
        if run.returncode != 0:
            raise BenchError(f"h2load ended with {run.returncode}: {run.stderr or run.stdout}")
        self._check(requests, run.stdout)
        rate = float(_find(r"finished in [^,]+, ([\d.]+) req/s", run.stdout)[1])
        if not self.case.latencies:
            return Figures(rate, 0.0, 0.0)
        times = _times(log, requests)
        return Figures(rate, _percentile(times, 0.50), _percentile(times, 0.99))

    def _check(self, requests: int, summary: str) -> None:
        what = f"{self.case.name}: {self.server}"
        counts = _find(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", summary)
        if [int(count) for count in counts.groups()] != [requests, 0, 0, 0]:
            raise BenchError(f"{what}: of {requests} requests not all succeeded: {counts[0]}")
        # A gRPC error comes as HTTP status 200 without data, and a stream may end early: the amount of data tells.
        data = int(_find(r"traffic: .*\((\d+)\) data", summary)[1])
        if data != requests * self.data:
            raise BenchError(f"{what}: {requests} answers of {self.data} bytes have {data} bytes in all")


def _times(log: Path, requests: int) -> list[float]:
    """The microseconds that each request took, in order of size."""
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    if len(lines) != requests or any(status != "200" for _, status, _ in lines):
        raise BenchError(f"h2load's log has not {requests} answers with status 200, but {len(lines)} lines")
    return sorted(float(microseconds) for _, _, microseconds in lines)


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _find(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text)
    if match is None:
        raise BenchError(f"h2load's summary has no '{pattern}':\n{text}")
    return match
