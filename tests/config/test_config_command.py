"""``anyserve config``, and that nobody else pays for it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from anyserve.cli import config

from tests.server import ROOT


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    config.add_to(parser.add_subparsers())
    options = parser.parse_args(["config", *arguments])
    code: int = options.main(options)
    return code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("count", "said"), [(1, "1 pool"), (3, "3 pools")])
def test_a_file_that_is_right(folder: Path, capsys: pytest.CaptureFixture[str], count: int, said: str) -> None:
    pools = "".join(f"  p{index}: {{target: 'a:a'}}\n" for index in range(count))
    (folder / "anyserve.yaml").write_text(f"pools:\n{pools}")
    assert run("check") == 0
    assert capsys.readouterr() == (f"anyserve.yaml: {said}, no problem found\n", "")


def test_a_file_that_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.yaml").write_text("pools:\n  chat:\n    target: app\n    min: -1\n")
    assert run("check", "mine.yaml") == 1
    assert capsys.readouterr() == (
        "",
        "mine.yaml:3:13: pools.chat.target: 'app' is not MODULE:ATTRIBUTE, such as app:app\n"
        "mine.yaml:4:10: pools.chat.min: '-1' is not a whole number from 0 to 1024\n",
    )


def test_a_file_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check") == 1
    assert capsys.readouterr() == ("", "anyserve.yaml: there is no such file\n")


def test_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schema") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["title"] == "anyserve"
    assert err == ""


def test_an_action_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    assert "required: ACTION" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["anyserve", "anyserve.cli", "anyserve.cli.config", "anyserve.worker.loader"])
def test_only_who_reads_a_file_imports_yaml(name: str) -> None:
    command = [sys.executable, "-c", f"import sys, {name}; print(*sys.modules)"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert name in loaded
    assert not {"yaml", "anyserve.config"} & set(loaded)
