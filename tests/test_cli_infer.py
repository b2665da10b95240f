"""`anyserve infer`: one request from a shell."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from anyserve.cli import main

from tests.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

    Infer = Callable[..., tuple[int, str, str]]


@pytest.fixture
def infer(basic: Server, capsys: pytest.CaptureFixture[str]) -> Infer:
    """Runs the command against examples/basic: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["infer", "--port", str(basic.port), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_process_of_its_own(basic: Server) -> None:
    command = [sys.executable, "-m", "anyserve", "infer", "--port", str(basic.port), "echo", "text=hello"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (result.returncode, result.stdout, result.stderr) == (0, "output_text BYTES [1]: [hello]\n", "")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("hello", "BYTES [1]: [hello]"),
        ("grüße", "BYTES [1]: [grüße]"),
        ("two words", "BYTES [1]: [two words]"),
        ("a=b", "BYTES [1]: [a=b]"),
        ("", "BYTES [1]: []"),
        ('"1"', "BYTES [1]: [1]"),
        ("null", "BYTES [1]: [null]"),
        ('{"a": 1}', 'BYTES [1]: [{"a": 1}]'),
        ("1", "INT64 [1]: [1]"),
        ("-1.5", "FP64 [1]: [-1.5]"),
        ("true", "BOOL [1]: [True]"),
        ("[1, 2]", "INT64 [2]: [1, 2]"),
        ("[1.5, 2]", "FP64 [2]: [1.5, 2.0]"),
        ("[[1, 2], [3, 4]]", "INT64 [2, 2]: [[1, 2], [3, 4]]"),
        ('["a", "b"]', "BYTES [2]: [a, b]"),
        ('[["a"], ["b"]]', "BYTES [2, 1]: [[a], [b]]"),
        ("[]", "FP64 [0]: []"),
        ("[true, false]", "BOOL [2]: [True, False]"),
    ],
)
def test_values_are_json_where_they_can_be_and_text_otherwise(infer: Infer, value: str, shown: str) -> None:
    assert infer("echo", f"x={value}") == (0, f"output_x {shown}\n", "")


def test_outputs_have_a_line_each(infer: Infer) -> None:
    code, out, _ = infer("echo", "b=1", "a=x")
    assert (code, out) == (0, "output_b INT64 [1]: [1]\noutput_a BYTES [1]: [x]\n")


CAPABILITY = ["--capability", "type=add"]
SUMMANDS = ["a=[1.0]", "b=[2.0]"]


@pytest.mark.parametrize(
    "arguments",
    [
        [*CAPABILITY, "whatever", *SUMMANDS],
        ["whatever", *CAPABILITY, *SUMMANDS],
        ["whatever", *SUMMANDS, *CAPABILITY],
    ],
    ids=["first", "between", "last"],
)
def test_a_capability_instead_of_a_name(infer: Infer, arguments: list[str]) -> None:
    assert infer(*arguments) == (0, "sum FP64 [1]: [3.0]\n", "")


def test_parameters_have_types_too(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve("tests.apps.inspecting:app")
    parameters = ["--parameter", "a=1", "--parameter", "b=true", "--parameter", "c=text", "--parameter", "d=0.5"]
    assert main(["infer", "--host", server.host, "--port", str(server.port), "parameters", *parameters]) == 0
    assert "{'a': 1, 'b': True, 'c': 'text', 'd': 0.5}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing here"], "no capability matches {type: nothing here}; served here: {type: add}, {type: echo}"),
        (["add", "a=[1.0]", "b=[1.0, 2.0]"], "a has shape (1,), b has shape (2,); they must be equal"),
        (["echo", "--capability", "1a=x"], "capability key '1a' is not allowed"),
        (["echo", "x=[[1], [1, 2]]"], "tensor 'x': "),
        (["echo", "x=[1, null]"], "tensor 'x': "),
        (["echo", "--parameter", "x=[1]"], "parameter 'x' is a list"),
    ],
)
def test_an_error_is_a_line_and_exit_code_1(infer: Infer, arguments: list[str], reason: str) -> None:
    code, out, err = infer(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("anyserve: ")
    assert reason in err
    assert err.count("\n") == 1


def test_a_server_that_is_not_there_is_named(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve("examples.basic.app:app")
    server.stop()
    assert main(["infer", "--host", "127.0.0.1", "--port", str(server.port), "echo"]) == 1
    assert f"anyserve: cannot reach {server.address}: " in capsys.readouterr().err


def test_time_is_limited(serve: Serve, gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve("tests.apps.gated:app")
    wait = ["once", "--parameter", f"gate={gate.parameters['gate']}", "--timeout", "0.3"]
    assert main(["infer", "--host", server.host, "--port", str(server.port), *wait]) == 1
    assert re.search(r"^anyserve: (no answer within 300ms|the deadline passed)", capsys.readouterr().err)


def test_an_interrupt_ends_it_quietly(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.gated:app")
    arguments = ["infer", "--port", str(server.port), "once", "--parameter", f"gate={gate.parameters['gate']}"]
    with subprocess.Popen(
        [sys.executable, "-m", "anyserve", *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        gate.wait_entered()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")


def test_a_stream_comes_response_by_response(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    server = serve("tests.apps.streaming:app")
    assert main(["infer", "--port", str(server.port), "--stream", "yielded", "N=[3]"]) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("OUT ")]
    assert printed == [f"OUT INT32 [1]: [{value}]" for value in range(3)]
    with pytest.raises(SystemExit) as error:
        main(["infer", "--port", str(server.port), "yielded", "N=[3]", "--streams"])
    assert error.value.code == 2
