"""Where the metrics are served, and what else is asked of that port."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from anyserve import Client
from anyserve.cli import server_settings

from tests.background import Background
from tests.metrics import Metrics
from tests.server import ROOT, Collected, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve
    from tests.gate import Gate

APP = "tests.apps.gated:app"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP) as server:
        yield server.wait_ready()


@pytest.fixture
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", server.metrics_port, timeout=60)
    yield connection
    connection.close()


def test_it_is_openmetrics_text(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    assert response.status == 200
    assert response.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert response.read().endswith(b"\n# EOF\n")


def test_every_metric_has_its_help_and_its_type(server: Server) -> None:
    page = Metrics(server).page()
    families = re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE)
    assert families == re.findall(r"^# HELP (\S+) \S", page, re.MULTILINE)
    assert len(families) == len(set(families)) > 10
    assert all(family.startswith("anyserve_") for family in families)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/metrics", 200),
        ("GET", "/metrics?name=value", 200),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("POST", "/elsewhere", 404),
        ("GET", "//metrics", 404),
    ],
)
def test_other_questions(connection: http.client.HTTPConnection, method: str, path: str, status: int) -> None:
    connection.request(method, path)
    response = connection.getresponse()
    assert response.status == status
    body = response.read()
    assert (body == b"") == (method == "HEAD")
    # On the same connection.
    connection.request("GET", "/metrics")
    assert connection.getresponse().status == 200


def test_a_head_says_how_long_the_page_is(connection: http.client.HTTPConnection) -> None:
    connection.request("HEAD", "/metrics")
    assert int(connection.getresponse().headers["content-length"]) > 1000


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"GET /metrics HTTP/9.9\r\n\r\n", b"GET " + b"/" * 100_000, b""])
def test_garbage_ends_its_own_connection(server: Server, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.metrics_port), timeout=60) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(1 << 16):
                pass
        except ConnectionResetError:
            # It did not even read it all.
            pass
    assert Metrics(server).value("workers_ready") == 1


def test_many_scrapers_at_once(server: Server) -> None:
    metrics = Metrics(server)
    with ThreadPoolExecutor(16) as threads:
        pages = [threads.submit(metrics.page) for _ in range(100)]
        assert all(page.result(60).endswith("# EOF\n") for page in pages)


def test_scrapers_are_answered_while_the_workers_are_busy(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        running = background.infer("once", gate.parameters)
        gate.wait_entered()
        assert Metrics(server).of("in_flight", "once") == 1
        gate.open()
        running.result(60)


def test_the_port_of_ones_choice(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = serve(APP, "--metrics-port", str(port))
    assert server.metrics_port == port
    assert Metrics(server).value("workers_ready") == 1


def test_a_port_that_is_taken_is_an_error(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve(APP, "--metrics-port", str(port), ready=False)
        assert server.wait() == 1
    assert f"127.0.0.1:{port}" in server.stderr.text
    assert "ready" not in server.stdout.text


def test_none_serves_none(serve: Serve) -> None:
    server = serve(APP, "--metrics-port", "none")
    with Client(server.address) as client:
        client.infer("quick")
    assert server.stop() == 0
    assert "metrics" not in server.stdout.text


def test_without_a_word_it_is_the_usual_port_or_a_free_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.server.FREE_PORTS", ["--port", "0"])
    first, second = serve(APP), serve(APP)
    # Somebody else on this machine may have the usual one, but both cannot.
    assert second.metrics_port not in (server_settings.METRICS_PORT, first.metrics_port)
    for server in (first, second):
        assert Metrics(server).value("workers_ready") == 1


def test_the_usual_port_is_taken_if_it_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        usual = free.getsockname()[1]
    # The usual one is like any other, and this one is free.
    program = (
        f"from anyserve.cli import main, serving; serving.METRICS_PORT = {usual}; main(['run', '{APP}', '--port', '0'])"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        printed = Collected(agent.stdout)
        assert printed.find(re.compile(f"^metrics: http://127.0.0.1:{usual}/metrics$")) is not None
        agent.terminate()
        printed.finish()


def test_it_is_not_for_other_machines(serve: Serve) -> None:
    server = serve(APP, "--host", "0.0.0.0")
    [line] = [line for line in server.stdout.text.splitlines() if line.startswith("metrics: ")] or [""]
    assert line in ("", f"metrics: http://127.0.0.1:{server.metrics_port}/metrics")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.2:{server.metrics_port}/metrics", timeout=60)
