"""`anyserve run` of what cannot be served: the reason on standard error, exit code 1, and nothing left behind."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.gate import Gate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve
    from tests.server import Server

APP = """
from anyserve import AnyServe, ModelInferResponse
app = AnyServe()

@app.capability(type="here")
def here(request):
    return ModelInferResponse()

"""


def failed(server: Server) -> str:
    """What the agent says as it fails."""
    assert server.wait() == 1
    assert "ready" not in server.stdout.text
    assert "stopped" not in server.stdout.text
    lines = server.stderr.text.splitlines()
    assert lines[-1].startswith("anyserve: ")
    return server.stderr.text


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """The source file of the module ``users_app``."""
    return tmp_path / "users_app.py"


def serve_module(serve: Serve, module: Path, attribute: str = "app", *arguments: str) -> Server:
    """Tries to serve what is in the module."""
    environment = {"PYTHONPATH": str(module.parent)}
    return serve(f"users_app:{attribute}", *arguments, environment=environment, ready=False)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nothing_here:app", "there is no module 'nothing_here' in "),
        ("examples.nothing_here:app", "there is no module 'examples.nothing_here' in "),
        ("nothing.at.all:app", "there is no module 'nothing' in "),
        ("examples.basic.app", "target 'examples.basic.app' is not MODULE:ATTRIBUTE, such as app:app"),
        ("examples.basic.app:", "is not MODULE:ATTRIBUTE"),
        (":app", "is not MODULE:ATTRIBUTE"),
        ("", "is not MODULE:ATTRIBUTE"),
        ("examples.basic.app:ap", "has no attribute 'ap'; it has the application 'app'"),
        ("examples.basic.app:app.nothing", "has no attribute 'app.nothing'"),
        ("os:path", "'os:path' is a module, not an AnyServe application"),
        ("os:nothing", "module 'os' has no attribute 'nothing'"),
        ("os:getcwd", "is a builtin_function_or_method, not an AnyServe application; .* add --factory"),
        ("tests.apps.factory:create_app", "is a function, not an AnyServe application; .* add --factory"),
    ],
)
def test_a_target_that_is_no_application(serve: Serve, target: str, reason: str) -> None:
    message = failed(serve(target, ready=False))
    assert message.count("\n") == 1, "one line says it all"
    before, _, after = reason.partition(" .* ")
    assert before in message
    assert after in message


@pytest.mark.parametrize(
    ("source", "attribute", "reason"),
    [
        ("from anyserve import AnyServe\napp = AnyServe()\n", "app", "serves no capability; declare one with @app.cap"),
        ("app = 1\n", "app", "'users_app:app' is a int, not an AnyServe application"),
        ("def make():\n    return 1\n", "make --factory", "'users_app:make' made a int, not an AnyServe application"),
        ("make = 1\n", "make --factory", "'users_app:make' is a int; --factory needs a function"),
    ],
)
def test_an_attribute_that_is_no_application(
    serve: Serve, module: Path, source: str, attribute: str, reason: str
) -> None:
    module.write_text(source)
    name, *arguments = attribute.split()
    message = failed(serve_module(serve, module, name, *arguments))
    assert message.count("\n") == 1
    assert reason in message


RAISING = {
    "bad syntax": ("def (:\n", "SyntaxError"),
    "an exception": ("\n\nraise ValueError('the reason')\n", "ValueError: the reason"),
    "a missing import": ("import nothing_here\n", "ModuleNotFoundError: No module named 'nothing_here'"),
    "an exit": ("import sys\nsys.exit('no more')\n", "SystemExit: no more"),
    "an exception of an exception": (
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('the reason') from error\n",
        "ValueError: the reason",
    ),
    "a capability twice": (APP + "app.capability(type='here')(here)\n", "CapabilityError: {type: here} is served by"),
    "a handler of no form": (
        APP + "@app.capability(type='there')\ndef there(request, context, stream):\n    pass\n",
        "TypeError: handler there(request, context, stream) must take (request) or (request, context)",
    ),
}


@pytest.mark.parametrize("what", RAISING)
def test_an_import_that_raises_shows_the_users_own_traceback(serve: Serve, module: Path, what: str) -> None:
    source, reason = RAISING[what]
    module.write_text(source)
    message = failed(serve_module(serve, module))
    assert "anyserve: importing 'users_app' raised " in message
    assert f'File "{module}", line ' in message
    assert reason in message
    frames = [line for line in message.splitlines() if line.startswith("  File ")]
    assert all(str(module) in frame for frame in frames), "only frames of the user's"


def test_the_cause_of_an_exception_is_shown(serve: Serve, module: Path) -> None:
    module.write_text(RAISING["an exception of an exception"][0])
    message = failed(serve_module(serve, module))
    assert "ZeroDivisionError: division by zero" in message
    assert "The above exception was the direct cause" in message


def test_a_factory_that_raises_shows_the_users_own_traceback(serve: Serve, module: Path) -> None:
    module.write_text("def make():\n    raise ValueError('the reason')\n")
    message = failed(serve_module(serve, module, "make", "--factory", "--workers", "2"))
    assert "anyserve: the factory 'users_app:make' raised ValueError: the reason" in message
    assert f'File "{module}", line 2, in make' in message
    assert "anyserve/" not in message


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os\nos._exit(3)\n", "the worker exited with code 3"),
        ("import os\nos.abort()\n", "the worker was killed by SIGABRT"),
        ("import os\nos.closerange(0, 1024)\n", "the worker "),
    ],
)
def test_an_import_that_ends_the_process(serve: Serve, module: Path, source: str, reason: str) -> None:
    module.write_text(source)
    assert f"anyserve: {reason}" in failed(serve_module(serve, module))


def test_a_worker_that_is_not_ready_in_time(serve: Serve, tmp_path: Path) -> None:
    environment = {"ANYSERVE_TEST_FOLDER": str(tmp_path)}
    server = serve("tests.apps.moody:app", "--start-timeout", "0.5", environment=environment, ready=False)
    assert "anyserve: the worker was not ready within 500ms (--start-timeout)" in failed(server)


def test_one_worker_of_many_that_fails_is_enough(serve: Serve, module: Path) -> None:
    # The second to come fails; the first is asked to end.
    module.write_text(f"{APP}import os\nopen({str(module) + '.once'!r}, 'x').close()\n")
    message = failed(serve_module(serve, module, "app", "--workers", "2"))
    assert "raised FileExistsError" in message


def test_a_port_that_is_taken(serve: Serve, basic: Server) -> None:
    message = failed(serve("examples.basic.app:app", "--port", str(basic.port), ready=False))
    assert f"anyserve: cannot listen on {basic.address}: Address already in use" in message


def test_an_address_of_another_machine(serve: Serve) -> None:
    message = failed(serve("examples.basic.app:app", "--host", "192.0.2.1", ready=False))
    assert "anyserve: cannot listen on 192.0.2.1:0: " in message


def test_a_host_that_is_not_known(serve: Serve) -> None:
    message = failed(serve("examples.basic.app:app", "--host", "nothing.invalid", ready=False))
    assert "anyserve: cannot resolve host 'nothing.invalid': " in message


def test_an_agent_that_failed_leaves_the_port(serve: Serve, tmp_path: Path) -> None:
    Gate(tmp_path / "import").open()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failed(serve("os:path", "--port", str(port), ready=False))
    assert serve("examples.basic.app:app", "--port", str(port)).port == port
