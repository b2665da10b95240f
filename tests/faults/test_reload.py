"""A changed configuration is taken up while requests come: what has not changed goes on, and nothing fails."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import Client
from anyserve.errors import NotFoundError

from tests.background import Background, pid_of
from tests.faults.fleet import Pool, ended, functions, instances
from tests.faults.load import Load
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.faults.conftest import Start
    from tests.faults.fleet import Folder


def version(number: int, pool: Pool) -> Pool:
    """The pool, with workers that say so."""
    return {**pool, "env": {"ANYSERVE_TEST_VERSION": str(number)}}


def version_of(client: Client, capability: str) -> str:
    """Which version answers."""
    return str(client.infer(capability, timeout=60).response.parameters.get("version", ""))


def test_unchanged_pools_keep_their_processes(start: Start, folder: Folder) -> None:
    pools = {"kept": functions("kept", min=2), "class": instances("class", min=1)}
    fleet = start(pools)
    before = sorted(fleet.all_pids())
    assert fleet.reload() == "pools: 2 kept (class, kept)\n"
    # The order does not matter, nor what is a comment, nor what somebody did in between.
    folder.configure(dict(reversed(pools.items())))
    folder.config.write_text("# The same.\n" + folder.config.read_text())
    fleet.admin.scale("class", 2)
    fleet.reload()
    assert set(before) <= set(fleet.all_pids())


def test_only_what_changed_is_replaced(start: Start, folder: Folder) -> None:
    pools = {name: functions(name, min=1) for name in ("changed", "kept")}
    fleet = start(pools)
    [kept], [changed] = fleet.pids("kept"), fleet.pids("changed")
    folder.configure({**pools, "changed": version(2, pools["changed"])})
    assert fleet.reload() == "pools: 1 replaced (changed), 1 kept (kept)\n"
    with Client(fleet.address) as client:
        assert version_of(client, "changed") == "2"
        assert pid_of(client.infer("kept", timeout=60)) == kept
    fleet.wait_gone(changed)
    eventually(lambda: sorted(fleet.pool_names()) == ["changed", "kept"], "the old pool is forgotten")


@pytest.mark.parametrize(
    ("kind", "places", "how"),
    [
        pytest.param("functions", 1, "command"),
        pytest.param("sleeper", 1, "signal"),
        ("functions", 2, "signal"),
        ("sleeper", 2, "command"),
    ],
)
def test_a_pool_is_replaced_under_load_without_a_failed_request(
    start: Start, folder: Folder, kind: str, places: int, how: str
) -> None:
    options: dict[str, Any] = {"min": 1, "resources": {"places": 1}}
    pool = functions("pool", **options) if kind == "functions" else instances("pool", kind, **options)
    fleet = start({"pool": version(1, pool)}, budget={"places": places})
    capabilities = ["pool", "pool-again", "pool-streamed"] if kind == "functions" else ["pool"]
    with Load(fleet.address, capabilities, callers=3) as load:
        load.wait_answered()
        for number in (2, 3):
            folder.configure({"pool": version(number, pool)}, budget={"places": places})
            if how == "command":
                assert "1 replaced" in fleet.reload()
            else:
                fleet.send_signal(signal.SIGHUP)
                assert "not reloaded" not in fleet.logs("reloaded")
            eventually(lambda: str(number) in load.versions, "the new version answers")  # noqa: B023
        load.wait_answered()
    assert load.failures == {}
    with Client(fleet.address) as client:
        assert version_of(client, "pool") == "3"
    eventually(lambda: len(fleet.all_pids()) == 1, "the old ones are gone")


def test_two_pools_trade_their_resources_in_one_reload(start: Start, folder: Folder) -> None:
    small, large = {"places": 1}, {"places": 3}
    first = {"a": functions("a", min=1, resources=small), "b": functions("b", min=1, resources=large)}
    second = {"a": functions("a", min=1, resources=large), "b": functions("b", min=1, resources=small)}
    fleet = start(first, budget={"places": 4})
    with Load(fleet.address, ["a", "b"], callers=2) as load:
        load.wait_answered()
        folder.configure(second, budget={"places": 4})
        assert "2 replaced" in fleet.reload()
        load.wait_answered()
    assert load.failures == {}


def test_added_pools_appear_and_removed_ones_finish_what_they_have(start: Start, folder: Folder) -> None:
    fleet = start({"old": functions("old"), "kept": functions("kept", min=1)})
    gate = folder.gate()
    with Background(fleet.address) as background, Client(fleet.address) as client:
        running = background.infer("old", {"do": "gate", **gate.parameters}, timeout=60)
        gate.wait_entered()
        waiting = [background.infer("old-again", timeout=60) for _ in range(5)]
        eventually(lambda: fleet.pool("old")["waiting"] == 5, "they wait")
        folder.configure({"new": functions("new"), "kept": functions("kept", min=1)})
        assert fleet.reload() == "pools: 1 added (new), 1 removed (old), 1 kept (kept)\n"
        with pytest.raises(NotFoundError, match="old"):
            client.infer("old", timeout=60)
        client.infer("new", timeout=60)
        assert fleet.pool("old")["state"] == "draining"
        gate.open()
        pid = pid_of(running.result(60))
        assert {pid_of(request.result(60)) for request in waiting} == {pid}
        fleet.wait_gone(pid)
        eventually(lambda: sorted(fleet.pool_names()) == ["kept", "new"], "the old pool is forgotten")
        assert not client.is_ready("old")


def test_what_waits_for_a_removed_pool_that_starts_is_served(start: Start, folder: Folder) -> None:
    folder.set_mood("old", "wait")
    fleet = start({"old": functions("old"), "kept": functions("kept", min=1)})
    with Background(fleet.address) as background:
        waiting = background.infer("old", timeout=60)
        fleet.wait_state("old", "starting")
        folder.configure({"kept": functions("kept", min=1)})
        fleet.reload()
        folder.gate("old.gate").open()
        pid_of(waiting.result(60))
        eventually(lambda: fleet.pool_names() == ["kept"], "the old pool is forgotten")


def test_a_pool_that_is_removed_comes_back_at_the_next_reload(start: Start, folder: Folder) -> None:
    pools = {"here": functions("here", min=1), "kept": functions("kept", min=1)}
    fleet = start(pools)
    with Client(fleet.address) as client:
        for _ in range(2):
            folder.configure({"kept": pools["kept"]})
            fleet.reload()
            with pytest.raises(NotFoundError):
                client.infer("here", timeout=60)
            folder.configure(pools)
            fleet.reload()
            client.infer("here", timeout=60)


def test_requests_for_a_capability_that_a_reload_takes_away_end(start: Start, folder: Folder) -> None:
    """They are served by the old workers, or told that nothing serves them; they never hang."""
    fleet = start({"pool": functions("pool", resources={"places": 1})}, budget={"places": 1})
    gate = folder.gate()
    with Background(fleet.address) as background, Client(fleet.address) as client:
        running = background.infer("pool", {"do": "gate", **gate.parameters}, timeout=60)
        gate.wait_entered()
        gone = [background.infer("pool-again", timeout=30) for _ in range(3)]
        stays = [background.infer("pool", timeout=30) for _ in range(3)]
        eventually(lambda: fleet.pool("pool")["waiting"] == 6, "they wait")
        changed = instances("pool", resources={"places": 1})
        folder.configure({"pool": changed}, budget={"places": 1})
        reloading = fleet.command("reload")
        eventually(lambda: len(fleet.pool_names()) == 2 or reloading.poll() is not None, "the reload is under way")
        gate.open()
        pid_of(running.result(60))
        for request in stays:
            pid_of(request.result(60))
        for request in gone:
            error = request.exception(60)
            assert error is None or isinstance(error, NotFoundError)
        assert ended(reloading)[0] == 0
        with pytest.raises(NotFoundError):
            client.infer("pool-again", timeout=60)
        client.infer("pool", timeout=60)


def test_requests_wait_for_a_pool_that_is_reloaded_while_it_starts(start: Start, folder: Folder) -> None:
    folder.set_mood("pool", "wait")
    fleet = start({"pool": version(1, functions("pool"))})
    gate = folder.gate("pool.gate")
    with Background(fleet.address) as background:
        waiting = [background.infer("pool", timeout=60) for _ in range(3)]
        gate.wait_entered()
        folder.configure({"pool": version(2, functions("pool"))})
        reloading = fleet.command("reload")
        gate.wait_entered(2)
        gate.open()
        for request in waiting:
            pid_of(request.result(60))
        said, _ = reloading.communicate(timeout=60)
        assert "1 replaced" in said
        eventually(lambda: fleet.pool_names() == ["pool"], "the old one is gone")
        again = background.infer("pool", timeout=60).result(60)
        assert again.response.parameters["version"] == "2"


def test_two_reloads_at_once_are_carried_out_one_after_the_other(start: Start, folder: Folder) -> None:
    pools = {"pool": functions("pool", min=1), "kept": functions("kept", min=1)}
    fleet = start(pools)
    kept = fleet.pids("kept")
    with Load(fleet.address, ["pool", "kept"], callers=2) as load:
        load.wait_answered()
        folder.configure({**pools, "pool": version(2, pools["pool"])})
        commands = [fleet.command("reload") for _ in range(3)]
        fleet.send_signal(signal.SIGHUP)
        said = sorted(command.communicate(timeout=60)[0] for command in commands)
        assert all(command.returncode == 0 for command in commands)
        assert len([text for text in said if "1 replaced (pool)" in text]) <= 1
        eventually(lambda: "2" in load.versions, "the new version answers")
    assert load.failures == {}
    assert fleet.pids("kept") == kept
    eventually(lambda: len(fleet.all_pids()) == 2, "the old one is gone")


def test_reload_all_replaces_every_pool(start: Start) -> None:
    fleet = start({"one": functions("one", min=1), "idle": functions("idle")})
    [before] = fleet.pids("one")
    with Load(fleet.address, ["one"], callers=2) as load:
        load.wait_answered()
        assert fleet.reload("--all") == "pools: 2 replaced (idle, one)\n"
        load.wait_answered()
    assert load.failures == {}
    fleet.wait_gone(before)


def test_a_pool_that_is_always_busy_is_replaced_where_there_is_no_room(start: Start, folder: Folder) -> None:
    """And be it pinned by the operator, who also made it fill the budget."""
    pool = functions("pool", min=1, max=2, resources={"places": 1})
    fleet = start({"pool": version(1, pool)}, budget={"places": 2})
    fleet.admin.pin("pool", True)
    fleet.admin.scale("pool", 2)
    eventually(lambda: fleet.states("pool") == ["ready", "ready"], "there are two")
    folder.configure({"pool": version(2, pool)}, budget={"places": 2})
    with Load(fleet.address, ["pool"]) as load:
        load.wait_answered()
        fleet.command("reload")
        # The new version's start-up time is not known, so that it may wait a while for its turn.
        eventually(lambda: "2" in load.versions, "the new version answers", patience=12)
    assert load.failures == {}
    eventually(lambda: fleet.pool_names() == ["pool"], "the old one is gone")


def test_a_sleeping_pool_is_replaced(start: Start, folder: Folder) -> None:
    pool = instances("pool", "sleeper", min=1, resources={"places": 1})
    fleet = start({"pool": version(1, pool)}, budget={"places": 1})
    fleet.admin.sleep("pool")
    asleep = fleet.wait_state("pool", "asleep")
    folder.configure({"pool": version(2, pool)}, budget={"places": 1})
    fleet.reload()
    with Client(fleet.address) as client:
        assert version_of(client, "pool") == "2"
    fleet.wait_gone(asleep)
