"""Workers that do not start: requests wait, then fail and say why, and are served again once the cause is mended."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, NotFoundError, UnavailableError

from tests.background import Background, pid_of
from tests.faults.fleet import functions, instances, kill
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.faults.conftest import Start
    from tests.faults.fleet import Folder, Pool

MOODS = {
    "hang": r"was not ready within 1s",
    "crash": r"raised RuntimeError: no weights here",
    "exit 5": r"exited with code 5.*the licence has run out",
    "kill": r"was killed by SIGKILL.*about to be killed",
    "garbage": r"broke the protocol.*babbling",
    "loud": r"exited with code 7.*noise 19999",
}


def test_after_three_failed_starts_the_queue_fails_with_the_reason(start: Start, folder: Folder) -> None:
    """Pools that fail in each of these ways, and one that does not notice."""
    bad = {mood.split()[0]: mood for mood in MOODS}
    for name, mood in bad.items():
        folder.set_mood(name, mood)
    pools = {name: functions(name, start_timeout="1s") for name in bad}
    fleet = start({**pools, "good": functions("good", min=1)})
    good = fleet.pids("good")
    with Background(fleet.address) as background, Client(fleet.address) as client:
        waiting = {name: [background.infer(name, timeout=60) for _ in range(3)] for name in bad}
        for name, requests in waiting.items():
            requests.append(background.infer(f"{name}-again", timeout=60))
        while not all(request.done() for requests in waiting.values() for request in requests):
            client.infer("good", timeout=60)
    assert fleet.pids("good") == good
    for name, mood in bad.items():
        for request in waiting[name]:
            with pytest.raises(UnavailableError, match=f"pool '{name}' cannot start a worker") as caught:
                request.result()
            assert re.search(MOODS[mood], str(caught.value), re.DOTALL)
            assert caught.value.retry_after is not None
            assert 0 < caught.value.retry_after <= 0.4
        first, second, third = folder.starts(name)[:3]
        # It backs off for 100 ms, then for 200 ms.
        assert second - first >= 0.1
        assert third - second >= 0.2
        assert len(folder.starts(name)) == 3
        assert fleet.pool(name)["state"] == "failed"
    assert "noise 10000" not in fleet.pool("loud")["reason"]


def test_later_requests_fail_at_once_until_another_start_is_due(start: Start, folder: Folder) -> None:
    folder.set_mood("bad", "exit 5")
    fleet = start({"bad": instances("bad")})
    with Client(fleet.address) as client:
        with pytest.raises(UnavailableError, match="pool 'bad'"):
            client.infer("bad", timeout=60)
        # So often that it backs off for long enough to look.
        while len(folder.starts("bad")) < 4:
            with pytest.raises(UnavailableError, match="exited with code 5"):
                client.infer("bad", timeout=60)
        starts = len(folder.starts("bad"))
        with pytest.raises(UnavailableError, match="pool 'bad'") as caught:
            client.infer("bad", timeout=60)
        assert caught.value.retry_after is not None
        assert len(folder.starts("bad")) == starts
        assert fleet.admin.status()["pools"][0]["waiting"] == 0
        folder.set_mood("bad", "")

        def served() -> bool:
            try:
                pid_of(client.infer("bad", timeout=60))
            except UnavailableError:
                return False
            return True

        eventually(served, "the pool works again")
        # And it starts anew: the next trouble is not the fourth in a row.
        assert fleet.pool("bad")["state"] == "ready"


def test_a_pool_that_failed_starts_afresh_once_it_has_worked(start: Start, folder: Folder) -> None:
    fleet = start({"moody": functions("moody")})
    with Client(fleet.address) as client, Background(fleet.address) as background:
        client.infer("moody", timeout=60)
        [pid] = fleet.pids("moody")
        folder.set_mood("moody", "exit 5")
        before = len(folder.starts("moody"))
        kill(pid)
        fleet.wait_gone(pid)
        waiting = background.infer("moody", timeout=60)
        with pytest.raises(UnavailableError):
            waiting.result(60)
        assert len(folder.starts("moody")) - before >= 3


def test_a_request_with_a_deadline_does_not_wait_for_all_three_starts(start: Start, folder: Folder) -> None:
    folder.set_mood("bad", "hang")
    fleet = start({"bad": functions("bad", start_timeout="20s")})
    with Client(fleet.address) as client, pytest.raises(DeadlineExceededError):
        client.infer("bad", timeout=0.5)


def sharing() -> dict[str, Pool]:
    """Two pools that can serve a request for ``{type: shared}``."""
    serves = {name: {"type": "shared", "model": name} for name in ("one", "two")}
    return {
        name: instances(name, capabilities=[pairs], args={"serves": pairs}, resources={"places": 1})
        for name, pairs in serves.items()
    }


def test_what_two_pools_could_serve_fails_when_both_cannot_start(start: Start, folder: Folder) -> None:
    folder.set_mood("one", "exit 5")
    folder.set_mood("two", "exit 5")
    fleet = start(sharing(), budget={"places": 2})
    with Client(fleet.address) as client, pytest.raises(UnavailableError, match=r"pool '(one|two)'"):
        client.infer("shared", timeout=4)


@pytest.mark.parametrize("places", [1, 2])
def test_what_two_pools_could_serve_is_served_by_the_one_that_starts(start: Start, folder: Folder, places: int) -> None:
    folder.set_mood("one", "exit 5")
    fleet = start(sharing(), budget={"places": places})
    with Client(fleet.address) as client:
        assert pid_of(client.infer("shared", timeout=60)) in fleet.pids("two")


def test_workers_that_serve_go_on_when_more_cannot_start(start: Start, folder: Folder) -> None:
    folder.set_mood("lone", "alone")
    fleet = start({"lone": functions("lone", max=3)})
    gate = folder.gate()
    with Background(fleet.address) as background:
        running = background.infer("lone", {"do": "gate", **gate.parameters}, timeout=60)
        gate.wait_entered()
        # The one worker is busy, and the others that are started for these do not start.
        waiting = [background.infer("lone", timeout=60) for _ in range(5)]
        eventually(lambda: len(folder.starts("lone")) >= 4, "more workers were started, and failed")
        eventually(lambda: "starting" not in fleet.states("lone"), "the third has failed")
        gate.open()
        pid = pid_of(running.result(60))
        assert {pid_of(request.result(60)) for request in waiting} == {pid}


def test_a_pool_that_is_drained_while_it_cannot_start_ends_what_waits(start: Start, folder: Folder) -> None:
    folder.set_mood("bad", "hang")
    fleet = start({"bad": functions("bad", start_timeout="1s")})
    with Background(fleet.address) as background:
        waiting = background.infer("bad", timeout=60)
        fleet.wait_state("bad", "starting")
        fleet.admin.drain("bad")
        with pytest.raises(UnavailableError, match="pool 'bad'"):
            waiting.result(20)


def test_what_waits_for_a_removed_pool_ends_when_it_cannot_start(start: Start, folder: Folder) -> None:
    folder.set_mood("bad", "hang")
    fleet = start({"bad": functions("bad"), "good": functions("good")})
    with Background(fleet.address) as background:
        waiting = background.infer("bad", timeout=4)
        fleet.wait_state("bad", "starting")
        folder.set_mood("bad", "exit 5")
        kill(fleet.pids("bad")[0])
        folder.configure({"good": functions("good")})
        fleet.reload()
        with pytest.raises(UnavailableError, match="pool 'bad'"):
            waiting.result(60)
        eventually(lambda: fleet.pool_names() == ["good"], "the pool is gone")


def test_a_worker_that_serves_something_else_than_the_file_says_is_refused(start: Start) -> None:
    fleet = start({"liar": functions("liar", capabilities=[{"type": "truth"}])})
    with Client(fleet.address) as client:
        with pytest.raises(UnavailableError, match=r"pool 'liar'.*\{type: liar\}.*\{type: truth\}"):
            client.infer("truth", timeout=20)
        with pytest.raises(NotFoundError):
            client.infer("liar", timeout=20)


@pytest.mark.parametrize("mood", MOODS)
def test_an_agent_whose_first_worker_does_not_start_says_why(start: Start, folder: Folder, mood: str) -> None:
    folder.set_mood("bad", mood)
    pools = {"good": functions("good", min=1), "bad": functions("bad", min=1, start_timeout="1s")}
    fleet = start(pools, ready=False)
    assert fleet.wait() == 1
    said = fleet.stderr.text
    assert re.search(MOODS[mood].partition(".*")[0], said)
    assert "Traceback" not in said or "crash" in mood


def test_an_agent_whose_first_worker_does_not_start_says_which_pool(start: Start, folder: Folder) -> None:
    folder.set_mood("bad", "exit 5")
    fleet = start({"good": functions("good", min=1), "bad": functions("bad", min=1)}, ready=False)
    assert fleet.wait() == 1
    [line] = [line for line in fleet.stderr.text.splitlines() if line.startswith("anyserve: ")]
    assert "'bad'" in line


def test_backing_off_has_a_limit_and_does_not_spin(start: Start, folder: Folder) -> None:
    folder.set_mood("bad", "exit 5")
    fleet = start({"bad": functions("bad"), "good": functions("good", min=1)})
    with Client(fleet.address) as client:
        for _ in range(2):
            with pytest.raises(UnavailableError):
                client.infer("bad", timeout=60)
        starts = folder.starts("bad")
        waits = [after - before for before, after in itertools.pairwise(starts)]
        assert all(wait >= 0.1 * 2**index for index, wait in enumerate(waits[:3]))
        # Nobody asks: no start is tried.
        count = len(folder.starts("bad"))
        for _ in range(200):
            client.infer("good", timeout=60)
        assert len(folder.starts("bad")) == count
