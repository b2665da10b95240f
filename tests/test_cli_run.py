"""`anyserve run`: what it says when all is well."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyserve
import numpy as np
import pytest
from anyserve import Client

from tests.server import ROOT, Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Serve


def test_it_says_what_is_served_and_where(basic: Server) -> None:
    port = basic.metrics_port
    [starting, ready, metrics] = basic.stdout.text.splitlines()
    assert starting == f"anyserve {anyserve.__version__}: starting 1 worker of examples.basic.app:app"
    assert re.fullmatch(
        r"ready: \{type: add\}, \{type: echo\} at grpc://127\.0\.0\.1:\d+ by 1 worker after \d+\.\d\d s", ready
    )
    assert metrics == f"metrics: http://127.0.0.1:{port}/metrics"


def test_a_factory_is_called_once_in_each_worker(serve: Serve, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    server = serve(
        "tests.apps.factory:create_app", "--factory", "--workers", "3", environment={"ANYSERVE_TEST_CALLS": str(calls)}
    )
    pids = [int(line) for line in calls.read_text().split()]
    assert sorted(pids) == sorted(worker.pid for worker in server.workers())
    with Client(server.address) as client:
        [pid] = np.asarray(client.infer("made-by")["pid"]).tolist()
    assert pid in pids


def test_a_target_may_be_in_a_class(serve: Serve) -> None:
    assert serve("tests.apps.factory:Holder.app").served == "{type: held}"


def test_the_command_is_installed(serve: Serve) -> None:
    command = Path(sys.executable).with_name("anyserve")
    result = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == f"anyserve {anyserve.__version__}\n"


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "anyserve", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == f"anyserve {anyserve.__version__}\n"


def test_the_installed_command_finds_the_application_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text(APP)
    command = [str(Path(sys.executable).with_name("anyserve")), "run", "here:app", "--port", "0", "--metrics-port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("ready: {type: here}") for line in process.stdout)
        process.terminate()
        assert process.wait(60) == 0


APP = """
from anyserve import AnyServe, ModelInferResponse
app = AnyServe()

@app.capability(type="here")
def here(request):
    return ModelInferResponse()
"""


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="there is no IPv6 here")
def test_an_ipv6_address(serve: Serve) -> None:
    server = serve("examples.basic.app:app", "--host", "::1")
    assert server.host == "[::1]"
    with Client(server.address) as client:
        assert client.infer("echo", {"x": ["a"]})["output_x"] == [b"a"]


def test_every_interface(serve: Serve) -> None:
    server = serve("examples.basic.app:app", "--host", "0.0.0.0")
    assert server.host == "0.0.0.0"
    with Client(f"127.0.0.1:{server.port}") as client:
        assert client.infer("echo", {"x": ["a"]})["output_x"] == [b"a"]


def test_the_port_is_free_again_at_once(serve: Serve) -> None:
    first = serve("examples.basic.app:app")
    with Client(first.address) as client:
        client.infer("echo", {"x": ["a"]})
        first.stop()
        second = serve("examples.basic.app:app", "--port", str(first.port))
        assert second.port == first.port
        # The client connects anew.
        eventually(client.is_ready, "the second server answers")
        assert client.infer("echo", {"x": ["b"]})["output_x"] == [b"b"]


@pytest.mark.parametrize("level", ["error", "debug"])
def test_the_log_is_as_loud_as_asked(serve: Serve, level: str) -> None:
    server = serve("tests.apps.gated:app", "--log-level", level)
    with Client(server.address) as client:
        server.workers()[0].kill()
        client.infer("quick", timeout=60)
    assert server.stop() == 0
    assert ("worker started" in server.stderr.text) is (level == "debug")
    assert ("starting another" in server.stderr.text) is (level == "debug")


def test_the_log_in_a_file_has_no_colors(serve: Serve) -> None:
    server = serve("tests.apps.gated:app")
    server.workers()[0].kill()
    assert server.stderr.find(re.compile("starting another")) is not None
    assert "\x1b" not in server.stderr.text
