"""Who goes first of those that wait: by priority, then by when they are due, then by arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import InvalidArgumentError
from tritonclient.grpc import InferenceServerClient, InferInput

from tests.background import Background
from tests.metrics import Metrics
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tests.gate import Gate


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.scheduled:app") as server:
        yield server.wait_ready()


class Line:
    """Requests that wait behind one in a gate, each in the queue before the next is sent."""

    def __init__(self, server: Server, background: Background, gate: Gate, folder: Path) -> None:
        self._background, self._gate, self._notes = background, gate, folder / "notes"
        self._metrics = Metrics(server)
        self._running = background.infer("plain", gate.parameters)
        self._waiting: list[Future[Any]] = []
        gate.wait_entered()

    def add(self, name: str, kind: str = "plain", *, timeout: float | None = None, **parameters: Any) -> None:
        """Sends one more."""
        before = self._metrics.of("queue_depth", kind)
        parameters["notes"] = str(self._notes)
        self._waiting.append(self._background.infer(kind, parameters, request_id=name, timeout=timeout))
        self._metrics.wait_waiting(kind, int(before) + 1)

    def order(self) -> list[str]:
        """Lets them run: in which order they did."""
        self._gate.open()
        for request in [self._running, *self._waiting]:
            request.result(60)
        return self._notes.read_text().splitlines()


@pytest.fixture
def line(server: Server, gate: Gate, tmp_path: Path) -> Iterator[Line]:
    with Background(server.address) as background:
        yield Line(server, background, gate, tmp_path)


def test_without_more_it_is_first_come_first_served(line: Line) -> None:
    for name in "abcde":
        line.add(name)
    assert line.order() == list("abcde")


def test_a_smaller_number_goes_first(line: Line) -> None:
    for priority in (7, 9, 1, 4, 6, 2):
        line.add(str(priority), priority=priority)
    assert line.order() == list("124679")


def test_five_is_the_default_and_zero_stands_for_it(line: Line) -> None:
    line.add("low", priority=6)
    line.add("a", priority=5)
    line.add("b", priority=0)
    line.add("c")
    line.add("high", priority=4)
    assert line.order() == ["high", "a", "b", "c", "low"]


def test_a_capability_has_a_priority_of_its_own(line: Line) -> None:
    line.add("last", "last")
    line.add("plain")
    line.add("first", "first")
    assert line.order() == ["first", "plain", "last"]


def test_a_request_says_otherwise_than_its_capability(line: Line) -> None:
    line.add("first", "first", priority=8)
    line.add("zero", "first", priority=0)
    line.add("plain")
    line.add("last", "last", priority=2)
    assert line.order() == ["zero", "last", "plain", "first"]


def test_who_is_due_first_goes_first(line: Line) -> None:
    line.add("whenever")
    line.add("hour", "hour")
    line.add("two minutes", timeout=120)
    line.add("minute", "minute")
    line.add("half a minute", timeout=30)
    line.add("minute again", "minute")
    assert line.order() == ["half a minute", "minute", "minute again", "two minutes", "hour", "whenever"]


def test_a_deadline_sooner_than_the_slo_counts(line: Line) -> None:
    line.add("minute", "minute")
    line.add("hurried", "hour", timeout=50)
    line.add("hour", "hour")
    assert line.order() == ["hurried", "minute", "hour"]


def test_priority_comes_before_urgency(line: Line) -> None:
    line.add("urgent", "minute", priority=6)
    line.add("important")
    assert line.order() == ["important", "urgent"]


@pytest.mark.parametrize("priority", [10, -1, 2**63 - 1, -(2**63)])
def test_a_priority_out_of_range_is_refused_with_the_range(server: Server, client: Client, priority: int) -> None:
    message = f"^parameter 'priority' is {priority}; it must be from 1, the highest, to 9, the lowest, or 0"
    with pytest.raises(InvalidArgumentError, match=message):
        client.infer("plain", parameters={"priority": priority})


@pytest.mark.parametrize("priority", ["1", 1.0, True])
def test_a_priority_that_is_no_whole_number_is_refused(client: Client, priority: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="'priority' is what is no whole number; it must be from 1"):
        client.infer("plain", parameters={"priority": priority})


def test_the_priority_of_tritonclient(server: Server, line: Line, tmp_path: Path) -> None:
    nothing = InferInput("nothing", [1], "INT64").set_data_from_numpy(np.zeros(1, "int64"))
    ended: list[Any] = []

    def send(triton: Any, name: str, priority: int) -> None:
        before = Metrics(server).of("queue_depth", "others")
        triton.async_infer(
            "others",
            [nothing],
            lambda result, error: ended.append(error),
            request_id=name,
            priority=priority,
            parameters={"notes": str(tmp_path / "notes")},
        )
        Metrics(server).wait_waiting("others", int(before) + 1)

    with InferenceServerClient(server.address) as triton:
        for name, priority in (("low", 9), ("default", 0), ("high", 1)):
            send(triton, name, priority)
        line.add("mine")
        line.order()
        eventually(lambda: len(ended) == 3, "all have ended")
    assert ended == [None] * 3
    assert (tmp_path / "notes").read_text().split() == ["high", "default", "mine", "low"]
