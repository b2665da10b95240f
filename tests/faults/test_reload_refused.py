"""A configuration that cannot be taken up: the old one stays, says why, and goes on serving."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from anyserve import Client

from tests.background import Background, pid_of
from tests.faults.fleet import Pool, ended, functions, instances
from tests.faults.load import Load
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.faults.conftest import Start
    from tests.faults.fleet import Fleet, Folder

BUDGET = {"places": 3}


def first() -> dict[str, Pool]:
    """What is served before and after."""
    return {"pool": functions("pool", min=1, resources={"places": 1})}


def bad(name: str) -> Pool:
    """A pool that is always replaced or added."""
    return functions(name, min=1, resources={"places": 1}, env={"ANYSERVE_TEST_VERSION": "2"}, start_timeout="1s")


def write(folder: Folder, what: str) -> str:
    """Writes a configuration that is wrong in that way; what the reason must say."""
    pools, budget = {"pool": bad("pool")}, BUDGET
    match what:
        case "nonsense":
            folder.config.write_text("pools: {pool: [")
            return r"anyserve.yaml:1:"
        case "unknown key":
            pools["pool"]["idel_timeout"] = "1m"
            reason = "unknown key 'idel_timeout'; did you mean 'idle_timeout'"
        case "no file":
            folder.config.unlink()
            return "anyserve.yaml"
        case "empty file":
            folder.config.write_text("")
            return "anyserve.yaml"
        case "no target":
            pools["pool"] = {"target": "tests.faults.apps.nowhere:app", "min": 1}
            reason = "pool 'pool': there is no module 'tests.faults.apps.nowhere'"
        case "does not fit":
            pools["pool"]["resources"] = {"places": 4}
            reason = "takes 4 .*places"
        case "do not fit together":
            pools.update({name: bad(name) for name in ("more", "most", "others")})
            reason = "places"
        case "budget":
            budget = {"places": 4}
            reason = "the budget has changed; that takes a restart"
        case "crash" | "hang" | "exit 5" | "garbage":
            folder.set_mood("pool", what)
            reason = "pool 'pool': "
        case "added crashes":
            folder.set_mood("other", "crash")
            pools = {"pool": bad("pool"), "other": bad("other")}
            reason = "pool 'other': .*no weights here"
    folder.configure(pools, budget=budget)
    return reason


FILES = [
    "nonsense",
    "unknown key",
    "no file",
    "empty file",
    "no target",
    "does not fit",
    "do not fit together",
    "budget",
]

STARTS = ["crash", "hang", "exit 5", "garbage", "added crashes"]


def mend(folder: Folder) -> None:
    """Mends whatever is wrong."""
    for name in ("pool", "other"):
        folder.set_mood(name, "")
    folder.configure({"pool": bad("pool")}, budget=BUDGET)


@pytest.mark.parametrize("wrong", [FILES, STARTS], ids=["files", "starts"])
def test_the_old_configuration_stays_and_serves(start: Start, folder: Folder, wrong: list[str]) -> None:
    fleet = start(first(), budget=BUDGET)
    before = fleet.pids("pool")
    with Load(fleet.address, ["pool", "pool-streamed"], callers=2) as load:
        for what in wrong:
            reason = write(folder, what)
            complained = fleet.fail_to_reload()
            assert_matches(reason, complained)
            assert "Traceback" not in complained or "no weights here" in complained
            load.wait_answered(10)
            eventually(lambda: fleet.all_pids() == before, "the old worker is the only one")
            eventually(lambda: fleet.pool_names() == ["pool"], "nothing of the new one is left")
            assert fleet.pool("pool")["min"] == 1
            # A new version that was ready may have answered while it was waited for another.
            load.versions.clear()
            load.wait_answered(10)
            assert load.versions == {""}
            mend(folder)
        assert "1 replaced (pool)" in fleet.reload()
        eventually(lambda: "2" in load.versions, "what was mended answers")
    assert load.failures == {}


@pytest.mark.parametrize("what", ["nonsense", "budget", "exit 5"])
def test_a_reload_by_signal_logs_why_it_was_not(start: Start, folder: Folder, what: str) -> None:
    fleet = start(first(), budget=BUDGET)
    before = fleet.pids("pool")
    reason = write(folder, what)
    fleet.send_signal(signal.SIGHUP)
    line = fleet.logs("not reloaded, the configuration stays as it was")
    assert " ERROR " in line
    eventually(lambda: matches(reason, fleet.stderr.text), "the reason is in the log")
    with Client(fleet.address) as client:
        assert [pid_of(client.infer("pool", timeout=60))] == before
    mend(folder)
    fleet.send_signal(signal.SIGHUP)
    fleet.logs(r"INFO reloaded: pools: 1 replaced \(pool\)")


def test_a_version_that_crashes_where_there_is_no_room_for_both_is_taken_back(start: Start, folder: Folder) -> None:
    """The old worker had to go; another one of the old version comes."""
    pool = functions("pool", min=1, resources={"places": 1})
    fleet = start({"pool": pool}, budget={"places": 1})
    with Load(fleet.address, ["pool", "pool-again"], callers=2) as load:
        load.wait_answered()
        folder.set_mood("pool", "exit 5")
        folder.configure({"pool": {**pool, "env": {"ANYSERVE_TEST_VERSION": "2"}}}, budget={"places": 1})
        complained = fleet.fail_to_reload()
        folder.set_mood("pool", "")
        assert "exited with code 5" in complained
        load.wait_answered()
    assert load.failures == {}
    assert load.versions == {""}
    eventually(lambda: fleet.states("pool") == ["ready"], "a worker of the old version serves")
    assert fleet.pool_names() == ["pool"]


def test_a_version_that_dies_once_it_has_served_is_the_new_one_all_the_same(start: Start, folder: Folder) -> None:
    fleet = start(first(), budget=BUDGET)
    folder.configure({"pool": bad("pool")}, budget=BUDGET)
    fleet.reload()
    gate = folder.gate()
    with Background(fleet.address) as background, Client(fleet.address) as client:
        running = background.infer("pool", {"do": "exit", **gate.parameters}, timeout=60)
        assert running.exception(60) is not None
        assert client.infer("pool", timeout=60).response.parameters["version"] == "2"


def test_a_reload_while_the_agent_starts_waits_or_says_so(start: Start, folder: Folder) -> None:
    folder.set_mood("pool", "wait")
    fleet = start(first(), "--log-level", "debug", budget=BUDGET, ready=False)
    gate = folder.gate("pool.gate")
    gate.wait_entered()
    fleet.send_signal(signal.SIGHUP)
    gate.open()
    fleet.wait_ready()
    line = fleet.logs(r"(reloaded: pools: 1 kept|not reloaded)")
    assert "budget" not in line
    with Client(fleet.address) as client:
        client.infer("pool", timeout=60)


def test_a_reload_ends_when_the_agent_is_told_to_stop(start: Start, folder: Folder) -> None:
    fleet = start(first(), budget=BUDGET)
    folder.set_mood("pool", "wait")
    folder.configure({"pool": {**bad("pool"), "start_timeout": "60s"}}, budget=BUDGET)
    reloading = fleet.command("reload")
    folder.gate("pool.gate").wait_entered()
    with Background(fleet.address) as background:
        before = background.infer("pool", {"do": "sleep", "seconds": "0.3"}, timeout=60)
        eventually(lambda: fleet.pool("pool")["running"] or before.done() or _old_runs(fleet), "it runs")
        assert fleet.stop(signal.SIGTERM) == 0
        pid_of(before.result(60))
    code, _, complained = ended(reloading)
    assert code == 1
    assert "anyserve: " in complained


def test_reloads_that_fail_again_and_again_leave_nothing_behind(start: Start, folder: Folder) -> None:
    fleet = start(first(), budget=BUDGET)
    agent = psutil.Process(fleet.process.pid)
    before = fleet.pids("pool")
    folder.set_mood("pool", "exit 5")
    folder.configure({"pool": bad("pool")}, budget=BUDGET)

    def fail() -> None:
        with pytest.raises(Exception, match="stays as it was"):
            fleet.admin.reload()

    fail()
    eventually(lambda: fleet.pool_names() == ["pool"], "the first is forgotten")
    files = agent.num_fds()
    for _ in range(5):
        fail()
    eventually(lambda: agent.num_fds() <= files + 2, "no file is left open")
    eventually(lambda: fleet.pool_names() == ["pool"], "they are forgotten")
    assert fleet.pids("pool") == before


def _old_runs(fleet: Fleet) -> bool:
    pools: list[dict[str, Any]] = fleet.admin.status()["pools"]
    return any(pool["running"] for pool in pools)


def matches(reason: str, text: str) -> bool:
    """Whether the text says that, be it in several lines."""
    return re.search(reason, text, re.DOTALL) is not None


def assert_matches(reason: str, text: str) -> None:
    """The text must say that."""
    assert matches(reason, text), text


def test_a_pool_of_a_class_that_is_no_more_is_named(start: Start, folder: Folder) -> None:
    fleet = start({"pool": instances("pool", min=1)})
    before = fleet.pids("pool")
    folder.configure({"pool": instances("pool", min=1, worker="other")})
    complained = fleet.fail_to_reload()
    assert_matches(r"pool 'pool': .*has no pool 'other'; it has 'pool'", complained)
    assert fleet.pids("pool") == before


def test_a_reload_while_the_agent_asks_what_there_is_waits_or_says_so(start: Start, folder: Folder) -> None:
    folder.set_mood("asked", "wait")
    env = {"ANYSERVE_TEST_POOL": "asked"}
    pools = {"asked": {"target": "tests.faults.apps.pools:app", "worker": "default", "env": env, "min": 0}}
    fleet = start(pools, budget=BUDGET, ready=False)
    gate = folder.gate("asked.gate")
    gate.wait_entered()
    fleet.send_signal(signal.SIGHUP)
    line = fleet.logs(r"a reload waits|reloaded")
    gate.open()
    fleet.wait_ready()
    assert "budget" not in line
    with Client(fleet.address) as client:
        client.infer("asked", timeout=60)
