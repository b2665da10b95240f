"""Unusual ways to stream: by several threads, with one response again and again, beyond the stream's end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from anyserve import Client, InferResult

from tests.apps.stream_journal import Journal
from tests.streams import Call, Servers, ask, is_final
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gate import Gate
    from tests.server import Server


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers("tests.apps.stream_habits") as servers:
        yield servers


@pytest.fixture(params=["app", "loop"])
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers[request.param]


def first(result: InferResult) -> int:
    return int(np.asarray(result["OUT"])[0])


@pytest.mark.parametrize("pause", [0.0, 0.001])
def test_threads_of_a_handler_share_its_stream(client: Client, pause: float) -> None:
    heard = []
    for result in client.stream("by-threads"):
        heard.append(first(result))
        time.sleep(pause)
    assert sorted(heard) == list(range(400))
    for start in range(4):
        assert [value for value in heard if value % 4 == start] == list(range(start, 400, 4))


def test_a_handler_may_use_its_array_again(client: Client) -> None:
    results = client.stream("same-array")
    # It is far ahead by then.
    heard = [next(results)]
    client.infer("quick")
    heard += list(results)
    assert [np.unique(np.asarray(result["OUT"])).tolist() for result in heard] == [[value] for value in range(50)]


def test_a_handler_may_use_its_response_again(client: Client) -> None:
    results = list(client.stream("same-response"))
    assert [result.response.id for result in results] == [str(value) for value in range(50)]
    assert [result.response.parameters["value"] for result in results] == list(range(50))


def test_a_response_keeps_the_names_that_its_handler_gave(server: Server) -> None:
    with Call(server) as call:
        [response] = call.send(ask("named", id="17")).rest()
    infer = response.infer_response
    assert (infer.model_name, infer.model_version, infer.id) == ("the model", "7", "the id")
    assert infer.parameters["more"].int64_param == 1
    assert infer.outputs[0].parameters["unit"].string_param == "s"
    assert not is_final(response)


def test_a_stream_ends_with_close_and_not_with_its_handler(client: Client, gate: Gate, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    parameters = {**gate.parameters, **journal.parameters}
    assert [first(result) for result in client.stream("goes-on", parameters=parameters)] == [1]
    gate.wait_entered()
    client.infer("quick", timeout=PATIENCE)
    assert journal.words() == []
    gate.open()
    journal.wait("ended")


def test_a_thread_may_close_the_stream_while_the_handler_waits(client: Client, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    results = client.stream("closed-by-another", parameters=journal.parameters)
    next(results)
    journal.wait("sent", 2)
    for _ in range(10):
        client.infer("quick", timeout=PATIENCE)
    assert all(first(result) == 1 for result in results)
    journal.wait("closed")
