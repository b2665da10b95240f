"""What a gateway adds: requests to an agent directly, through `anyserve gateway`, and through nginx (`grpc_pass`).

usage: python benches/gateway_bench.py [--rounds 5] [--seconds 4]

Needs h2load and nginx (Debian: apt-get install nghttp2-client nginx-light). All are up at once and take turns, so that
they see the same machine. The request is an echo of 16 bytes: one at a time for the latency, 64 at once for the rate.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benches import bodies, h2load
from benches.h2load import Case, Figures
from benches.processes import BenchError, running, tail
from benches.rounds import say, take_turns
from benches.servers import ANYSERVE, Server, anyserve, free_ports, wait_ready

MESSAGE = bodies.echo("echo", [16])
ONE = Case("one at a time", MESSAGE, 1, 1, latencies=True)
MANY = Case("64 at once", MESSAGE, 8, 8)

NGINX = """
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream agent {{ server 127.0.0.1:{agent}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} http2;
    keepalive_requests 100000000;
    http2_max_concurrent_streams 1024;
    location / {{ grpc_pass grpc://agent; }}
  }}
}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="What a gateway adds, beside nginx.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each turn")
    options = parser.parse_args()
    try:
        h2load.require()
        if shutil.which("nginx") is None:
            raise BenchError("nginx is not on the PATH; install it with: apt-get install nginx-light (Debian, Ubuntu)")
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            servers = start(folder, stack)
            turns = {
                (case.name, server.name): h2load.prepare(case, server.name, server.port, options.seconds, folder)
                for case in (ONE, MANY)
                for server in servers
            }
            print(table(take_turns(turns, options.rounds)))
    except BenchError as error:
        sys.exit(f"gateway_bench: {error}")


def start(folder: Path, stack: contextlib.ExitStack) -> list[Server]:
    """The agent, the gateway and nginx in front of it."""
    api_server = stack.enter_context(started(folder, "api-server", r"http://\S+?:(\d+)"))
    url = f"http://127.0.0.1:{api_server.port}"
    agent = stack.enter_context(anyserve(folder, options=["--api-server", url, "--replica-id", "agent"])).server
    gateway = stack.enter_context(
        started(folder, "gateway", r"grpc://\S+:(\d+)", "--api-server", url, "--metrics-port", "none")
    )
    nginx = stack.enter_context(nginx_before(agent, folder))
    return [Server("direct", agent.port, agent.pid), gateway, nginx]


@contextlib.contextmanager
def started(folder: Path, command: str, pattern: str, *options: str) -> Iterator[Server]:
    """A command of anyserve, once it says where it listens; a server of requests, once it is ready."""
    log = folder / f"{command}.log"
    with running([ANYSERVE, command, "--port", "0", *options], log, read_output=True) as process:
        assert process.stdout is not None
        match = None
        for line in process.stdout:
            if match := re.search(pattern, line.decode()):
                break
        if match is None:
            raise BenchError(f"{command} did not get ready:\n{tail(log)}")
        if command == "gateway":
            wait_ready(process, int(match[1]), log)
        yield Server(command, int(match[1]), process.pid)


@contextlib.contextmanager
def nginx_before(agent: Server, folder: Path) -> Iterator[Server]:
    """nginx that passes everything to the agent."""
    port, log = free_ports(1), folder / "nginx.log"
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, agent=agent.port, port=port))
    with running(["nginx", "-p", str(folder), "-c", str(configuration)], log) as process:
        wait_ready(process, port, log)
        yield Server("nginx", port, process.pid)


def table(runs: dict[tuple[str, str], list[Figures]]) -> str:
    """The medians, and what stands in front of the agent adds to them."""
    p50 = {name: statistics.median(run.p50 for run in runs[ONE.name, name]) for name in ("direct", "gateway", "nginx")}
    rate = {name: statistics.median(run.rate for run in runs[MANY.name, name]) for name in p50}
    say("medians of all rounds")
    added = {name: p50[name] - p50["direct"] for name in ("gateway", "nginx")}
    lines = [
        "| | direct | gateway | nginx | gateway / nginx |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| p50, one at a time, µs | {p50['direct']:.0f} | {p50['gateway']:.0f} | {p50['nginx']:.0f} | |",
        f"| added, µs | | {added['gateway']:.0f} | {added['nginx']:.0f} | {added['gateway'] / added['nginx']:.2f} |",
        f"| requests/s, 64 at once | {rate['direct']:.0f} | {rate['gateway']:.0f} | {rate['nginx']:.0f} "
        f"| {rate['gateway'] / rate['nginx']:.2f} |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
