"""``anyserve run module:app`` takes up changed code at a reload."""

from __future__ import annotations

import re
import signal
import textwrap
from typing import TYPE_CHECKING

import pytest
from anyserve import Client
from anyserve.cli.agents import admin_of
from anyserve.errors import NotFoundError, RequestError

from tests.background import Background
from tests.faults.load import Load
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve
    from tests.server import Server

HEAD = """
import os, time
from anyserve import AnyServe, ModelInferResponse, Worker
app = AnyServe()
"""


def function(name: str, version: int, seconds: float = 0.0) -> str:
    """The source of a function that serves ``{type: NAME}``."""
    return textwrap.dedent(f"""
        @app.capability(type="{name}")
        def {name}(request):
            time.sleep({seconds})
            return ModelInferResponse(parameters={{"version": "{version}"}})
        """)


def class_(name: str, version: int) -> str:
    """The source of a class that serves ``{type: NAME}``."""
    return textwrap.dedent(f"""
        @app.worker(capability={{"type": "{name}"}}, name="{name}")
        class {name.title()}(Worker):
            def handle(self, request):
                return ModelInferResponse(parameters={{"version": "{version}"}})
        """)


class Code:
    """A module that changes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "changing.py"
        # A module that changes twice a second has the same time stamp.
        self.environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def write(self, *parts: str) -> None:
        """Writes the module."""
        self._path.write_text(HEAD + "".join(parts))


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path)


def version_of(server: Server, name: str) -> str:
    """Which version answers."""
    with Client(server.address) as client:
        return str(client.infer(name, timeout=60).response.parameters["version"])


def reload(server: Server) -> str:
    """Reloads; says what was done."""
    return admin_of(server.port).reload()


def test_changed_functions_are_taken_up_under_load(serve: Serve, code: Code) -> None:
    code.write(function("one", 1, 0.01))
    server = serve("changing:app", "--workers", "2", environment=code.environment)
    with Load(server.address, ["one"]) as load:
        load.wait_answered()
        code.write(function("one", 2, 0.01))
        assert "1 replaced" in reload(server)
        eventually(lambda: "2" in load.versions, "the new code answers")
        code.write(function("one", 3, 0.01))
        server.send_signal(signal.SIGHUP)
        eventually(lambda: "3" in load.versions, "the newer code answers")
    assert load.failures == {}
    # Until they are, one of them may answer.
    eventually(lambda: len(server.workers()) == 2, "the old ones are gone")
    assert version_of(server, "one") == "3"


def test_functions_come_and_go(serve: Serve, code: Code) -> None:
    code.write(function("one", 1), function("two", 1))
    server = serve("changing:app", environment=code.environment)
    code.write(function("two", 2), function("three", 2))
    reload(server)
    assert version_of(server, "two") == version_of(server, "three") == "2"
    with pytest.raises(NotFoundError):
        version_of(server, "one")


def test_changed_classes_are_taken_up(serve: Serve, code: Code) -> None:
    code.write(function("one", 1), class_("two", 1))
    server = serve("changing:app", environment=code.environment)
    assert version_of(server, "one") == version_of(server, "two") == "1"
    code.write(function("one", 2), class_("two", 2))
    assert "2 replaced" in reload(server)
    assert version_of(server, "one") == version_of(server, "two") == "2"


def test_a_class_that_comes_beside_functions_is_served(serve: Serve, code: Code) -> None:
    code.write(function("one", 1))
    server = serve("changing:app", environment=code.environment)
    code.write(function("one", 2), class_("two", 2))
    reload(server)
    assert version_of(server, "one") == version_of(server, "two") == "2"


def test_a_class_that_comes_beside_others_is_served(serve: Serve, code: Code) -> None:
    code.write(function("one", 1), class_("two", 1))
    server = serve("changing:app", environment=code.environment)
    code.write(function("one", 2), class_("two", 2), class_("three", 2))
    reload(server)
    assert version_of(server, "one") == version_of(server, "two") == "2"
    assert version_of(server, "three") == "2"


def test_a_class_that_goes_is_not_served_any_more(serve: Serve, code: Code) -> None:
    code.write(function("one", 1), class_("two", 1), class_("three", 1))
    server = serve("changing:app", environment=code.environment)
    code.write(function("one", 2), class_("three", 2))
    reload(server)
    assert version_of(server, "one") == version_of(server, "three") == "2"
    with pytest.raises(NotFoundError):
        version_of(server, "two")


@pytest.mark.parametrize(
    ("parts", "wrong"),
    [
        ("functions", "raise RuntimeError('a slip')"),
        ("functions and classes", "this is no Python"),
        ("functions and classes", "app = None"),
        ("functions", "os._exit(4)"),
    ],
)
def test_broken_code_is_not_taken_up(serve: Serve, code: Code, parts: str, wrong: str) -> None:
    first = [function("one", 1, 0.01)] + ([class_("two", 1)] if "classes" in parts else [])
    code.write(*first)
    server = serve("changing:app", environment=code.environment)
    with Load(server.address, ["one"], callers=2) as load:
        load.wait_answered()
        code.write(function("one", 2), wrong)
        with pytest.raises(RequestError, match="not reloaded, the configuration stays as it was") as caught:
            reload(server)
        assert re.search("a slip|no Python|AnyServe|exited with code 4|invalid syntax|SyntaxError", str(caught.value))
        load.wait_answered()
        assert load.versions == {"1"}
        code.write(function("one", 3), *first[1:])
        reload(server)
        eventually(lambda: "3" in load.versions, "what was mended answers")
    assert load.failures == {}


def test_requests_that_wait_for_a_function_that_goes_end(serve: Serve, code: Code, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    slow = textwrap.dedent(f"""
        @app.capability(type="slow")
        def slow(request):
            while not os.path.exists({str(gate)!r}):
                time.sleep(0.01)
            return ModelInferResponse()
        """)
    code.write(slow, function("gone", 1))
    server = serve("changing:app", environment=code.environment)
    with Background(server.address) as background:
        running = background.infer("slow", timeout=60)
        eventually(lambda: admin_of(server.port).status()["pools"][0]["running"] == 1, "it runs")
        waiting = [background.infer("gone", timeout=60) for _ in range(3)]
        eventually(lambda: admin_of(server.port).status()["pools"][0]["waiting"] == 3, "they wait")
        code.write(slow)
        reload(server)
        with pytest.raises(NotFoundError):
            background.infer("gone", timeout=60).result(60)
        late = background.infer("slow", timeout=60)
        gate.touch()
        running.result(60)
        late.result(60)
        for request in waiting:
            error = request.exception(60)
            assert error is None or isinstance(error, NotFoundError)


def test_the_agent_is_not_ready_before_all_classes_are_known(serve: Serve, code: Code) -> None:
    code.write(*[class_(f"class{number}", 1) for number in range(60)])
    for _ in range(6):
        server = serve("changing:app", environment=code.environment)
        assert server.served.endswith(", 40 more")
        assert version_of(server, "class59") == "1"
        assert server.stop(signal.SIGTERM) == 0
