"""`anyserve run module:app` of an application with functions and classes: each class is a pool of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyserve import Client
from anyserve.errors import NotFoundError
from tritonclient.grpc import InferenceServerClient

from tests.pools.fleet import APP
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.pools.conftest import Start

MIXED = "tests.pools.apps.mixed:app"


# Not strict: how often it happens depends on the machine.
def test_an_application_is_ready_once_all_its_pools_are(start: Start) -> None:
    for _ in range(3):
        server = start(MIXED, ready=False).server.wait_ready()
        assert server.ready_workers == 2
        assert server.served.count("type: cold") == 2
        with Client(server.address) as client:
            for model in ("first", "kept", "cold"):
                client.infer(model, timeout=30)


def test_each_pool_has_its_own_processes(start: Start) -> None:
    fleet = start(MIXED, "--workers", "2")
    assert len(fleet.pids("default")) == 2
    assert len(fleet.pids("Kept")) == 1
    assert fleet.pids("cold") == []
    assert {fleet.ask(model)["pid"] for model in ["first", "second"] * 10} <= set(fleet.pids("default"))
    assert [fleet.ask("kept")["pid"]] == fleet.pids("Kept")
    assert sorted(worker.pid for worker in fleet.server.workers()) == sorted(
        [*fleet.pids("default"), *fleet.pids("Kept")]
    )


def test_a_pool_that_keeps_no_worker_is_known_and_started_by_a_request(start: Start) -> None:
    fleet = start(MIXED)
    assert fleet.state("cold") == "idle"
    assert fleet.client.is_ready("cold")
    with InferenceServerClient(fleet.server.address) as triton:
        metadata = triton.get_model_metadata("cold", as_json=True)
        assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1"]}]
        models = triton.get_model_repository_index(as_json=True)["models"]
        cold = [model for model in models if "cold" in model["name"]]
        assert [model["state"] for model in cold] == ["UNAVAILABLE"] * 2
        assert {model["reason"] for model in cold} == {"no worker: a request starts one"}
        assert fleet.pids("cold") == []
        pid = fleet.ask("", capability={"type": "cold", "size": "large"})["pid"]
        assert fleet.pids("cold") == [pid]
        models = triton.get_model_repository_index(as_json=True)["models"]
        assert [model["state"] for model in models if "cold" in model["name"]] == ["READY"] * 2
    assert fleet.ask("", capability={"type": "cold", "size": "small"})["pid"] == pid


def test_the_server_is_ready_without_a_worker(start: Start) -> None:
    fleet = start(APP)
    assert fleet.server.workers() == []
    assert fleet.client.is_ready()
    with pytest.raises(NotFoundError, match="type: letter"):
        fleet.ask("nothing here")
    assert fleet.server.workers() == []


def test_hooks_are_called_in_order_and_state_is_kept_between_requests(start: Start) -> None:
    fleet = start(APP)
    answers = [fleet.ask("a") for _ in range(5)]
    assert [answer["calls"] for answer in answers] == [1, 2, 3, 4, 5]
    [pid] = {answer["pid"] for answer in answers}
    assert fleet.steering.hooks("a") == ["on_start"]
    fleet.admin.scale("a", 0)
    fleet.wait_state("a", "idle")
    assert [(note.hook, note.pid) for note in fleet.steering.notes("a")] == [("on_start", pid), ("on_stop", pid)]
    again = fleet.ask("a")
    assert (again["calls"], again["pid"] != pid) == (1, True)
    assert fleet.server.stop() == 0
    assert fleet.steering.hooks("a") == ["on_start", "on_stop"] * 2
    assert fleet.steering.notes("b") == []


def test_a_class_may_be_served_on_an_event_loop_or_stream(start: Start) -> None:
    fleet = start(APP)
    assert fleet.ask("loop")["calls"] == 1
    with fleet.client.stream("stream", timeout=30) as results:
        assert [result.response.parameters["calls"] for result in results] == [1, 2, 3]


def test_a_worker_that_dies_idle_is_replaced_only_where_one_is_kept(start: Start) -> None:
    fleet = start(MIXED)
    [kept] = fleet.pids("Kept")
    cold = fleet.ask("cold")["pid"]
    fleet.kill(kept)
    fleet.kill(cold)
    eventually(lambda: fleet.state("cold") == "idle", "the cold pool has no worker")
    eventually(lambda: fleet.workers("Kept") == ["ready"] and fleet.pids("Kept") != [kept], "another is kept")
    assert fleet.client.is_ready("cold")
    assert fleet.ask("cold")["pid"] != cold
