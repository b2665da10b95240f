"""Load from h2load: one repeated gRPC request over C connections with M streams each."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import service_pb2

from benches.processes import BenchError

__all__ = ["Case", "Figures", "load", "requests_for", "require", "version", "write_body"]

RPC = "inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True)
class Case:
    """What is sent, and how many requests are under way at once."""

    name: str
    size: int
    connections: int
    streams: int
    # h2load's log of every request costs it time, so it is written only where latencies are wanted.
    latencies: bool


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


def write_body(path: Path, size: int) -> None:
    """Writes a gRPC-framed ModelInfer request to model ``echo`` with one raw UINT8 input of ``size`` bytes."""
    request = service_pb2.ModelInferRequest(model_name="echo", raw_input_contents=[os.urandom(size)])
    request.inputs.add(name="IN", datatype="UINT8", shape=[size])
    message = request.SerializeToString()
    path.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)


def requests_for(case: Case, port: int, body: Path, seconds: float) -> int:
    """Warms a server up and says how many requests keep it busy for about ``seconds``."""
    few = 200 if case.size > 1 << 16 else 2000
    rate = load(case, port, body, few).rate
    return max(int(rate * seconds), few)


def load(case: Case, port: int, body: Path, requests: int) -> Figures:
    """Sends so many requests; a request that fails is an error."""
    command = ["h2load", "-n", str(requests), "-c", str(case.connections), "-m", str(case.streams), "-d", str(body)]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    log = body.with_suffix(".log")
    if case.latencies:
        # h2load appends to a log that is there.
        log.unlink(missing_ok=True)
        command.append(f"--log-file={log}")
    run = subprocess.run([*command, f"http://127.0.0.1:{port}/{RPC}"], capture_output=True, text=True)
    if run.returncode != 0:
        raise BenchError(f"h2load ended with {run.returncode}: {run.stderr or run.stdout}")
    _check(case, requests, run.stdout)
    rate = float(_find(r"finished in [^,]+, ([\d.]+) req/s", run.stdout)[1])
    if not case.latencies:
        return Figures(rate, 0.0, 0.0)
    times = _times(log, requests)
    return Figures(rate, _percentile(times, 0.50), _percentile(times, 0.99))


def _check(case: Case, requests: int, summary: str) -> None:
    counts = _find(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", summary)
    if [int(count) for count in counts.groups()] != [requests, 0, 0, 0]:
        raise BenchError(f"{case.name}: of {requests} requests not all succeeded: {counts[0]}")
    # A gRPC error comes as HTTP status 200 without data, so only the amount of data tells it from an answer.
    data = int(_find(r"traffic: .*\((\d+)\) data", summary)[1])
    if data < requests * case.size:
        raise BenchError(f"{case.name}: {requests} answers of at least {case.size} bytes have {data} bytes in all")


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
