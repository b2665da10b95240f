"""Options of the command line: what is not allowed ends with exit code 2 and the reason."""

from __future__ import annotations

import argparse

import anyserve
import pytest
from anyserve.cli import main
from anyserve.cli.sizes import byte_size, port, positive_int, seconds


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "required: COMMAND"),
        (["walk"], "invalid choice: 'walk'"),
        (["run"], "one of the arguments MODULE:ATTRIBUTE --config is required"),
        (["run", "a:b", "--port", "65536"], "'65536' is not a port from 0 to 65535"),
        (["run", "a:b", "--port", "http"], "'http' is not a port"),
        (["run", "a:b", "--port", "-1"], "'-1' is not a port"),
        (["run", "a:b", "--workers", "0"], "'0' is not a whole number from 1 on"),
        (["run", "a:b", "--workers", "1.5"], "'1.5' is not a whole number"),
        (["run", "a:b", "--max-queue-size", "none"], "'none' is not a whole number"),
        (["run", "a:b", "--max-message-size", "64 miles"], "'64 miles' is not a size such as 1048576, 64MiB or 1g"),
        (["run", "a:b", "--max-message-size", "1"], "'1' is not between 1KiB and 2147483647 bytes"),
        (["run", "a:b", "--max-message-size", "2GiB"], "'2GiB' is not between"),
        (["run", "a:b", "--start-timeout", "0"], "'0' is not a positive number of seconds"),
        (["run", "a:b", "--drain-timeout", "nan"], "'nan' is not a positive number of seconds"),
        (["run", "a:b", "--drain-timeout", "soon"], "'soon' is not a positive number of seconds"),
        (["run", "a:b", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["run", "a:b", "--walk"], "unrecognized arguments: --walk"),
        (["infer"], "required: model"),
        (["infer", "echo", "text"], "'text' is not NAME=VALUE"),
        (["infer", "echo", "=text"], "'=text' is not NAME=VALUE"),
        (["infer", "echo", "--capability", "type"], "'type' is not NAME=VALUE"),
        (["infer", "echo", "--timeout", "-1"], "'-1' is not a positive number of seconds"),
    ],
)
def test_a_bad_option_is_exit_code_2_and_the_reason(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert reason in captured.err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["infer", "--help"]])
def test_there_is_help(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert "usage: anyserve" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"anyserve {anyserve.__version__}\n"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("1MiB", 1 << 20),
        ("1m", 1 << 20),
        ("1MB", 1 << 20),
        ("2 KiB", 2048),
        ("1g", 1 << 30),
        ("1024", 1024),
        ("2147483647", 2**31 - 1),
    ],
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert byte_size(text) == size


def test_values_at_their_bounds() -> None:
    assert (port("0"), port("65535"), positive_int("1"), seconds("1e-3")) == (0, 65535, 1, 0.001)
    for beyond in (lambda: port("65536"), lambda: positive_int("0"), lambda: seconds("1e9"), lambda: byte_size("1023")):
        with pytest.raises(argparse.ArgumentTypeError):
            beyond()


@pytest.mark.parametrize("text", ["٣", "1_000", "+1", " 1", "²"])
def test_numbers_are_plain_digits(text: str) -> None:
    for convert in (port, positive_int):
        with pytest.raises(argparse.ArgumentTypeError):
            convert(text)
