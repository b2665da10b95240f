"""The life of a class worker, in every way of serving: what is called when, and what the agent hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.apps.living import JOURNAL
from tests.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAYS = ["one thread", "threads", "loop", "loop, plain hooks"]


class Living(WorkerProcess):
    """A worker of tests.apps.living."""

    def __init__(self, journal: Path, way: str, fails: dict[str, str], gpus: str | None) -> None:
        self._journal = journal
        environment = {JOURNAL: str(journal)}
        if gpus is not None:
            environment["ANYSERVE_GPUS"] = gpus
        super().__init__(
            "tests.apps.living:make", arguments={"way": way, "fails": fails}, pool="living", environment=environment
        )

    @property
    def journal(self) -> list[str]:
        """What happened so far."""
        return self._journal.read_text().splitlines() if self._journal.exists() else []


@pytest.fixture(params=WAYS)
def living(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Living]]:
    """Starts the worker, once."""
    started: list[Living] = []

    def start(gpus: str | None = None, **fails: str) -> Living:
        worker = Living(tmp_path / "journal", request.param, fails, gpus)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.__exit__(None, None, None)


def test_a_worker_starts_serves_sleeps_wakes_and_stops(living: Callable[..., Living]) -> None:
    worker = living()
    hello = worker.welcome()
    assert hello["sleeps"] is True
    assert [capability["pairs"] for capability in hello["capabilities"]] == [{"type": "living"}]
    assert worker.journal == ["made", "on_start"]
    assert worker.call()["calls"] == "1"
    assert worker.order("sleep", level=2) == {}
    assert worker.order("wake") == {}
    assert worker.call()["calls"] == "2"
    assert worker.order("sleep", level=1) == {}
    assert worker.order("wake") == {}
    assert worker.stop() == 0
    happened = ["handle", "on_sleep 2", "on_wake", "handle", "on_sleep 1", "on_wake", "on_stop"]
    assert worker.journal == ["made", "on_start", *happened]


def test_a_level_that_is_not_said_is_the_light_one(living: Callable[..., Living]) -> None:
    worker = living()
    worker.welcome()
    assert worker.order("sleep") == {}
    assert worker.journal[-1] == "on_sleep 1"


def test_a_worker_may_stop_while_it_sleeps(living: Callable[..., Living]) -> None:
    worker = living()
    worker.welcome()
    worker.order("sleep", level=1)
    assert worker.stop() == 0
    assert worker.journal[2:] == ["on_sleep 1", "on_stop"]


def test_an_order_is_carried_out_before_the_stop_behind_it(living: Callable[..., Living]) -> None:
    worker = living()
    worker.welcome()
    worker.send("sleep", {"level": 1})
    worker.send("stop")
    assert worker.expect("settled") == {}
    assert worker.end() == 0
    assert worker.journal[2:] == ["on_sleep 1", "on_stop"]


def test_what_was_assigned_is_answered_before_on_stop(living: Callable[..., Living]) -> None:
    worker = living()
    worker.welcome()
    numbers = {worker.assign() for _ in range(3)}
    worker.send("stop")
    assert {worker.expect("reply")["request"] for _ in numbers} == numbers
    assert worker.end() == 0
    assert worker.journal[2:] == ["handle"] * 3 + ["on_stop"]


def test_a_stop_instead_of_a_welcome_still_calls_on_stop(living: Callable[..., Living]) -> None:
    worker = living()
    worker.expect("hello")
    assert worker.stop() == 0
    assert worker.journal == ["made", "on_start", "on_stop"]


@pytest.mark.parametrize("how", ["no weights", "exit"])
def test_a_start_that_fails_is_told_with_the_users_traceback(living: Callable[..., Living], how: str) -> None:
    worker = living(on_start=how)
    failed = worker.expect("start_failed")
    raised = "SystemExit: 3" if how == "exit" else "RuntimeError: no weights"
    assert failed["message"].endswith(f".on_start raised {raised}")
    assert "tests/apps/living.py" in failed["traceback"]
    assert "python/anyserve" not in failed["traceback"]
    assert worker.end() == 1
    assert worker.journal == ["made", "on_start"]


@pytest.mark.parametrize("living", ["one thread", "threads"], indirect=True)
def test_a_hook_that_nobody_would_await_is_refused(living: Callable[..., Living]) -> None:
    worker = living(on_start="later")
    failed = worker.expect("start_failed")
    assert failed["message"].endswith(
        "raised TypeError: it returned a coroutine; where handle is not async there is no event loop to await it"
    )
    assert worker.end() == 1


@pytest.mark.parametrize("living", ["loop, plain hooks"], indirect=True)
def test_a_plain_hook_of_a_loop_may_return_what_is_to_be_awaited(living: Callable[..., Living]) -> None:
    worker = living(on_start="later")
    worker.welcome()
    assert worker.stop() == 0


@pytest.mark.parametrize("order", ["sleep", "wake"])
def test_an_order_that_fails_is_told_and_the_worker_lives_on(living: Callable[..., Living], order: str) -> None:
    worker = living(**{f"on_{order}": "no room"})
    worker.welcome()
    settled = worker.order(order)
    assert settled["error"].endswith(f".on_{order} raised RuntimeError: no room")
    assert "tests/apps/living.py" in settled["traceback"]
    assert "python/anyserve" not in settled["traceback"]
    assert worker.call()["calls"] == "1"
    assert worker.stop() == 0
    assert "RuntimeError: no room" in worker.stderr.text


def test_an_order_may_end_the_process(living: Callable[..., Living]) -> None:
    worker = living(on_sleep="exit")
    worker.welcome()
    worker.send("sleep", {"level": 1})
    assert worker.end() == 3
    assert worker.journal[2:] == ["on_sleep 1"]


def test_what_on_stop_raises_is_printed_and_changes_nothing(living: Callable[..., Living]) -> None:
    worker = living(on_stop="too late")
    worker.welcome()
    assert worker.stop() == 0
    assert ".on_stop failed:" in worker.stderr.text
    assert "RuntimeError: too late" in worker.stderr.text


@pytest.mark.parametrize(("variable", "gpus"), [(None, "()"), ("", "()"), ("2", "(2,)"), ("3,0", "(3, 0)")])
def test_the_gpus_are_those_that_the_agent_gave(living: Callable[..., Living], variable: str | None, gpus: str) -> None:
    worker = living(variable)
    worker.welcome()
    assert worker.call()["gpus"] == f"{gpus} {gpus}"
