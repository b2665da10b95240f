"""How fast an API server says who offers what: `GET /route`, by wrk, with few and with many replicas.

    python benches/route_bench.py [--seconds 5] [--connections 16]

Needs wrk (Debian: apt-get install wrk). The server and wrk share the machine: of the two numbers, *per core* is the one
that the machine's other load does not change: requests for each second of processor time that the server has used.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import urllib.request

import psutil

CASES = [(1, 1), (1000, 20)]
"""Replicas, and capabilities of each."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Requests per second of GET /route.")
    parser.add_argument("--seconds", type=int, default=5, help="for each case")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("route_bench: wrk is not installed; apt-get install wrk")
    print("| replicas | capabilities | requests/s | per core | p50 | p99 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for replicas, capabilities in CASES:
        measure(replicas, capabilities, options.seconds, options.connections)


def measure(replicas: int, capabilities: int, seconds: int, connections: int) -> None:
    """Prints a row of the table."""
    command = [sys.executable, "-m", "anyserve", "api-server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            match = re.search(r"http://\S+:\d+", server.stdout.readline())
            assert match is not None, "the API server did not start"
            url = match[0]
            for number in range(replicas):
                register(url, number, capabilities)
            used = psutil.Process(server.pid)
            before = sum(used.cpu_times()[:2])
            target = f"{url}/route?type=chat&model=m0&variant=0"
            options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--latency"]
            shown = subprocess.run(["wrk", *options, target], capture_output=True, text=True, check=True).stdout
            busy = sum(used.cpu_times()[:2]) - before
        finally:
            server.kill()
    count, rate = int(found(r"(\d+) requests in", shown)), float(found(r"Requests/sec:\s+([\d.]+)", shown))
    assert "Non-2xx" not in shown, shown
    p50, p99 = found(r"\n\s+50%\s+(\S+)", shown), found(r"\n\s+99%\s+(\S+)", shown)
    print(f"| {replicas} | {replicas * capabilities} | {rate:.0f} | {count / busy:.0f} | {p50} | {p99} |", flush=True)


def register(url: str, number: int, capabilities: int) -> None:
    """Registers a replica; each capability is offered by a hundredth of them."""
    offered = [{"type": "chat", "model": f"m{number % 100}", "variant": variant} for variant in range(capabilities)]
    body = {"endpoint": f"10.0.0.1:{number + 1}", "capabilities": offered, "lease_seconds": 3600}
    request = urllib.request.Request(f"{url}/replicas/r{number}", json.dumps(body).encode(), method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def found(pattern: str, text: str) -> str:
    """What the first group of the pattern matches."""
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


if __name__ == "__main__":
    main()
