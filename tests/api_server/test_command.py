"""``anyserve api-server`` as a command."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.api_server.conftest import StartApiServer
from tests.api_server.process import ApiServer
from tests.server import ROOT


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anyserve", "api-server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)


def test_help() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for option in ("--host", "--port", "--registry", "--max-replicas", "--header-timeout"):
        assert option in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--port", "x"], "'x' is not a port"),
        (["--max-replicas", "0"], "'0' is not a whole number from 1 on"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["more"], "unrecognized arguments: more"),
    ],
)
def test_options_that_are_wrong(arguments: list[str], part: str) -> None:
    refused = run(*arguments)
    assert refused.returncode == 2
    assert part in refused.stderr


@pytest.mark.parametrize("url", ["nowhere", "ftp://x", "etcd://", ""])
def test_registries_that_are_none(url: str) -> None:
    refused = run("--port", "0", "--registry", url)
    assert refused.returncode == 1
    assert refused.stderr.startswith("anyserve: ")
    assert "Traceback" not in refused.stderr


def test_a_port_that_is_taken(api: ApiServer) -> None:
    refused = run("--port", str(api.port))
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{api.port}" in refused.stderr


def test_without_the_distribution() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from anyserve.cli import main; sys.exit(main(['api-server']))"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert refused.returncode == 1
    assert refused.stderr == (
        "anyserve: the API server is not installed (uvicorn missing); pip install 'anyserve[api-server]'\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_told_to(start_api: StartApiServer, number: signal.Signals) -> None:
    api = start_api()
    api.process.send_signal(number)
    assert api.process.wait(30) == 0
    assert "Traceback" not in api.stderr.text


def test_ipv6(start_api: StartApiServer) -> None:
    api = start_api("--host", "::1")
    assert api.host == "[::1]"
    assert api.http.get("/livez").text == "ok\n"


def test_health_and_metrics(api: ApiServer) -> None:
    health = api.http.get("/health").json()
    assert (health["status"], health["connected"], health["replicas"]) == ("ok", True, 0)
    assert api.http.get("/readyz").status_code == 200
    api.put("a", {"type": "x"})
    api.wait_ids("a")
    before = api.metric("anyserve_api_requests_total", method="GET", route="/route", status="200")
    assert api.route(type="x").status_code == 200
    assert api.metric("anyserve_api_requests_total", method="GET", route="/route", status="200") == before + 1
    assert api.metric("anyserve_api_request_seconds_count", route="/route") >= before + 1
    assert api.metric("anyserve_api_replicas") == 1
    assert api.metric("anyserve_api_registry_connected") == 1
    # Paths that strangers make up do not become series.
    for number in range(5):
        api.http.get(f"/made/up/{number}")
    assert api.metric("anyserve_api_requests_total", method="GET", route="other", status="404") >= 5
    assert "/made/up" not in api.http.get("/metrics").text
