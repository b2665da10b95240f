"""`anyserve run --config`: pools of targets and factories, and what is known of them before they have a worker."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from anyserve.errors import RequestError, UnavailableError, UnimplementedError

from tests.pools.fleet import APP, FACTORY, pools, run_anyserve
from tests.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pools.conftest import Start
    from tests.pools.fleet import Fleet


def made(**options: Any) -> dict[str, Any]:
    """A file with a factory as its one pool."""
    return {"pools": {"made": {"factory": FACTORY, **options}}}


def calls(fleet: Fleet) -> int:
    """How often a factory was called."""
    return len(fleet.steering.notes("factory"))


def test_several_pools_of_targets_and_factories(start: Start) -> None:
    fleet = start(
        {
            "pools": {
                "functions": {"target": "tests.pools.apps.mixed:app", "worker": "default", "min": 2, "max": 2},
                "letters": {"target": APP, "worker": "a", "max": 3},
                "made": {
                    "factory": FACTORY,
                    "args": {"serves": "colours", "model": "paint", "depth": "8"},
                    "env": {"COLOUR": "red"},
                },
            }
        }
    )
    assert fleet.server.ready_workers == 3
    assert (fleet.pool("letters")["min"], fleet.pool("letters")["max"]) == (0, 3)
    assert fleet.pool("made")["capabilities"] == ["{depth: 8, model: paint, type: colours}"]
    answer = fleet.ask("paint")
    assert (answer["colour"], answer["cwd"]) == ("red", str(ROOT))
    assert fleet.ask("first")["pid"] in fleet.pids("functions")
    assert fleet.ask("a")["pool"] == "a"
    assert fleet.pids("letters") != []


def test_two_pools_may_run_the_same_factory_with_other_arguments(start: Start) -> None:
    fleet = start(
        {
            "pools": {
                name: {"factory": FACTORY, "args": {"serves": "made", "model": name}, "env": {"COLOUR": name}}
                for name in ("red", "blue")
            }
        }
    )
    assert fleet.ask("red")["colour"] == "red"
    assert fleet.ask("blue")["colour"] == "blue"
    assert {fleet.ask("made")["colour"] for _ in range(50)} <= {"red", "blue"}


def test_modules_are_imported_from_the_folder_of_the_command(start: Start, tmp_path: Path) -> None:
    # Not from that of the file.
    (tmp_path / "beside.py").write_text("from tests.pools.apps.steered import make\n")
    said = start({"pools": {"made": {"factory": "beside:make"}}}, ready=False).refused()
    assert f"there is no module 'beside' in {ROOT} or on the Python path" in said
    environment = {"PYTHONPATH": str(tmp_path)}
    fleet = start({"pools": {"made": {"factory": "beside:make"}}}, environment=environment)
    assert fleet.ask("made")["cwd"] == os.getcwd()


# What is known before there is a worker.


def test_capabilities_from_the_file_are_known_without_a_start(start: Start) -> None:
    fleet = start(made(min=0, capabilities=[{"type": "made"}]))
    assert calls(fleet) == 0
    assert fleet.state("made") == "idle"
    assert fleet.client.is_ready("made")
    assert fleet.ask("made")["colour"] == "none"
    assert calls(fleet) == 1


def test_a_worker_that_serves_something_else_than_the_file_says_is_refused(start: Start) -> None:
    fleet = start(made(min=0, args={"serves": "other"}, capabilities=[{"type": "promised"}]))
    with pytest.raises(UnavailableError, match=r"type: other.*type: promised"):
        fleet.ask("promised")
    assert fleet.pool("made")["capabilities"] == ["{type: promised}"]


def test_a_pool_that_serves_something_else_than_the_file_says_ends_the_start(start: Start) -> None:
    fleet = start(made(min=1, args={"serves": "other"}, capabilities=[{"type": "promised"}]), ready=False)
    reason = fleet.refused()
    assert "type: promised" in reason
    assert "type: other" in reason


def test_a_worker_may_say_more_of_a_capability_than_the_file(start: Start) -> None:
    """That it streams, and which tensors it takes."""
    factory = {"factory": "tests.pools.apps.steered:make_streaming", "min": 0, "capabilities": [{"type": "flow"}]}
    fleet = start({"pools": {"flow": factory}})
    with fleet.client.stream("flow", timeout=30) as results:
        assert len(list(results)) == 3
    with fleet.client.stream("flow", timeout=30) as results:
        assert len(list(results)) == 3


def test_a_unary_request_for_a_cold_pool_that_turns_out_to_stream_is_told_so(start: Start) -> None:
    factory = {"factory": "tests.pools.apps.steered:make_streaming", "min": 0, "capabilities": [{"type": "flow"}]}
    fleet = start({"pools": {"flow": factory}})
    for _ in range(2):
        with pytest.raises(UnimplementedError, match="streams its responses"):
            fleet.ask("flow")


def test_an_application_that_does_not_serve_what_the_file_says_is_refused(start: Start) -> None:
    fleet = start({"pools": pools("a", capabilities=[{"type": "letter", "model": "z"}])}, ready=False)
    said = fleet.refused()
    assert "pool 'a' is to serve {model: z, type: letter}, but its application serves {model: a, type: letter}" in said
    assert fleet.steering.notes("a") == []


def test_what_a_factory_serves_is_learned_once_and_remembered(start: Start) -> None:
    fleet = start(made(min=0, idle_timeout="100ms", min_residence=0))
    assert calls(fleet) == 1
    assert fleet.pool("made")["capabilities"] == ["{type: made}"]
    assert fleet.server.stop() == 0
    again = start(made(min=0))
    assert (calls(again), again.state("made")) == (1, "idle")
    assert again.pool("made")["capabilities"] == ["{type: made}"]
    assert again.ask("made")["colour"] == "none"
    assert calls(again) == 2
    # With other arguments it is another one.
    assert again.server.stop() == 0
    other = start(made(min=0, args={"serves": "other"}))
    assert calls(other) == 3
    assert other.pool("made")["capabilities"] == ["{type: other}"]


def test_a_worker_that_was_started_to_learn_from_stops_when_it_is_idle(start: Start) -> None:
    fleet = start(made(min=0, idle_timeout="200ms", min_residence=0))
    fleet.wait_state("made", "idle")
    assert fleet.client.is_ready("made")


def test_a_damaged_memory_is_no_obstacle(start: Start) -> None:
    fleet = start(made(min=0))
    assert fleet.server.stop() == 0
    [remembered] = fleet.cache.rglob("*.pool")
    remembered.write_bytes(b"")
    again = start(made(min=0), ready=False)
    assert again.server.stdout.find(re.compile("^ready: ")) is not None, again.server.stderr.text
    again.wait_ready()
    assert again.pool("made")["capabilities"] == ["{type: made}"]


def test_garbage_in_the_memory_is_no_obstacle(start: Start) -> None:
    fleet = start(made(min=0))
    assert fleet.server.stop() == 0
    [remembered] = fleet.cache.rglob("*.pool")
    remembered.write_bytes(os.urandom(200))
    assert start(made(min=0)).ask("made")["colour"] == "none"


def test_a_folder_that_cannot_be_written_is_no_obstacle(start: Start, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    fleet = start(made(min=0))
    assert fleet.ask("made")["colour"] == "none"


def test_a_factory_that_serves_something_else_than_remembered_is_taken_up(start: Start) -> None:
    """Its code has changed since."""
    first = start(made(min=0))
    assert first.server.stop() == 0
    fleet = start(made(min=0), environment={"ANYSERVE_TEST_SERVES": "new"})
    assert fleet.pool("made")["capabilities"] == ["{type: made}"]
    with pytest.raises(RequestError):
        fleet.ask("made")
    assert fleet.ask("new")["colour"] == "none"
    assert fleet.pool("made")["capabilities"] == ["{type: new}"]
    assert fleet.server.stop() == 0
    again = start(made(min=0))
    assert again.pool("made")["capabilities"] == ["{type: new}"]


# Flags and errors.


def test_flags_go_before_the_file(start: Start) -> None:
    file = {
        "server": {"port": 1, "metrics_port": "none", "max_queue_size": 1, "log_format": "json"},
        "budget": {"gpus": [0]},
        "pools": pools("a", gpus=2),
    }
    # The port is one that only root may have, and there would be no metrics; GPUs of the file would not do.
    fleet = start({**file, "budget": {"gpus": [0, 1, 2]}}, "--gpus", "4,5", "--max-queue-size", "50")
    assert fleet.server.port != 1
    assert fleet.metrics.page()
    assert fleet.ask("a")["gpus"] == "4,5"
    assert len([request.result(30) for request in [fleet.asking("a") for _ in range(30)]]) == 30
    assert '"level":"INFO"' in fleet.server.stderr.text


@pytest.mark.parametrize("flag", [["--workers", "2"], ["--factory"]])
def test_flags_that_the_file_says_for_each_pool_do_not_go_with_it(start: Start, flag: list[str]) -> None:
    fleet = start({"pools": pools("a", min=1)}, *flag, ready=False)
    assert fleet.server.wait() == 2
    assert f"{flag[0]} does not go with --config: the file says it for each pool" in fleet.server.stderr.text


def test_a_file_with_errors_starts_nothing_and_tells_them_all(start: Start) -> None:
    text = (
        "pools:\n  a:\n    target: tests.pools.apps.steered:app\n    worker: a\n    min: 1\n"
        "  b:\n    target: here\n    idel_timeout: 1m\n"
    )
    fleet = start(text, ready=False)
    lines = fleet.refused().splitlines()
    assert lines[0] == f"{fleet.file}:7:13: pools.b.target: 'here' is not MODULE:ATTRIBUTE, such as app:app"
    assert lines[1].startswith(f"{fleet.file}:8:5: pools.b: unknown key 'idel_timeout'; did you mean 'idle_timeout'?")
    assert len(lines) == 2
    assert fleet.steering.notes("a") == []
    assert fleet.server.stdout.text == ""


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = run_anyserve("run", "--config", str(tmp_path / "none.yaml"), environment={})
    assert (done.returncode, done.stdout) == (1, "")
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"target": "tests.pools.apps.nowhere:app"}, "pool 'broken': there is no module 'tests.pools.apps.nowhere' in"),
        ({"target": "tests.pools.apps.steered:nothing"}, "nothing"),
        ({"target": APP, "worker": "z"}, "pool 'broken': its application has no pool 'z'; it has 'a', 'b', 'c'"),
        ({"target": APP}, "say by `worker` which of them it is"),
        ({"factory": FACTORY, "args": {"colour of": 1}}, "make"),
        ({"factory": "tests.pools.apps.dying:make"}, "the worker exited with code 7"),
    ],
)
def test_a_pool_that_is_broken_ends_the_start(start: Start, options: dict[str, Any], reason: str) -> None:
    fleet = start({"pools": {**pools("a", min=1), "broken": options}}, ready=False)
    assert fleet.server.wait() == 1
    assert reason in fleet.server.stderr.text
    assert "\nanyserve: " in f"\n{fleet.server.stderr.text}"


def test_a_broken_factory_is_told_with_the_name_of_its_pool(start: Start) -> None:
    broken = {"factory": FACTORY, "args": {"colours": {"no": "text"}}}
    fleet = start({"pools": {**pools("a"), "broken": broken}}, ready=False)
    assert fleet.server.wait() == 1
    assert "the value of capability key 'colours' is a dict" in fleet.server.stderr.text
    assert "pool 'broken'" in fleet.server.stderr.text
