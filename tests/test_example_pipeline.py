"""examples/pipeline: a text goes through three workers that call each other."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from anyserve import Client

from tests.server import ROOT, Server
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The example."""
    with Server("examples.pipeline.app:app") as server:
        yield server.wait_ready()


@pytest.mark.parametrize(
    ("text", "tokens", "report"),
    [
        ("to be or not to be", 6, b"to: 2\nbe: 2\nor: 1"),
        ("Ja, ja: é", 3, "ja: 2\né: 1".encode()),
        ("...", 0, b"(no words)"),
    ],
)
def test_a_text_goes_through_the_pipeline(client: Client, text: str, tokens: int, report: bytes) -> None:
    result = client.infer("tokenize", {"text": [text]}, timeout=PATIENCE)
    assert (int(result["tokens"][0]), result["report"]) == (tokens, [report])


def test_many_texts_go_through_it_at_once(client: Client) -> None:
    with ThreadPoolExecutor(32) as pool:
        texts = [f"word{number} " * (number + 1) for number in range(100)]
        results = pool.map(lambda text: client.infer("tokenize", {"text": [text]}, timeout=PATIENCE), texts)
        assert [result["report"] for result in results] == [[f"word{n}: {n + 1}".encode()] for n in range(100)]


def test_its_parts_are_served_too(client: Client) -> None:
    result = client.infer("analyze", {"tokens": ["a,b,a"]}, timeout=PATIENCE)
    assert result["report"] == [b"a: 2\nb: 1"]


def test_the_client_of_the_example_prints_the_report(server: Server) -> None:
    command = [sys.executable, "-m", "examples.pipeline.client", "--endpoint", server.address]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert found.stdout == "12 tokens\nthe: 3\ndog: 2\nquick: 1\n"
