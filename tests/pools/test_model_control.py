"""KServe's model repository: what is served, and loading and unloading it, as tritonclient has them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from anyserve.errors import UnavailableError
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.pools.fleet import pools, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gate import Gate
    from tests.pools.conftest import Start
    from tests.pools.fleet import Fleet


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """For calls that wait."""
    with ThreadPoolExecutor(4) as threads:
        yield threads


def index(fleet: Fleet) -> dict[str, tuple[str, str]]:
    """The state of each model, and its reason."""
    with InferenceServerClient(fleet.server.address) as triton:
        models = triton.get_model_repository_index().models
    return {model.name: (model.state, model.reason) for model in models}


def control(fleet: Fleet, call: str, model: str, **options: Any) -> None:
    """Loads or unloads a model."""
    with InferenceServerClient(fleet.server.address) as triton:
        getattr(triton, f"{call}_model")(model, **options)


def test_the_index_follows_a_pool_through_its_life(start: Start, threads: ThreadPoolExecutor) -> None:
    fleet = start({"pools": pools("a", "s")})
    cold = ("UNAVAILABLE", "no worker: a request starts one")
    assert index(fleet) == {"a": cold, "s": cold}
    for hook in ("on_start", "on_wake", "on_stop"):
        fleet.steering.hold("s", hook)
    loading = threads.submit(control, fleet, "load", "s")
    fleet.wait_state("s", "starting")
    assert index(fleet)["s"] == ("LOADING", "starting")
    fleet.steering.release("s", "on_start")
    loading.result(30)
    assert index(fleet)["s"] == ("READY", "")
    fleet.admin.sleep("s")
    fleet.wait_workers("s", "asleep")
    assert index(fleet)["s"] == ("UNAVAILABLE", "asleep")
    fleet.admin.wake("s")
    fleet.wait_state("s", "waking")
    assert index(fleet)["s"] == ("LOADING", "waking")
    fleet.steering.release("s", "on_wake")
    fleet.wait_state("s", "ready")
    unloading = threads.submit(control, fleet, "unload", "s")
    fleet.wait_workers("s", "draining")
    assert index(fleet)["s"] == ("UNLOADING", "draining")
    fleet.steering.release("s", "on_stop")
    unloading.result(30)
    assert index(fleet) == {"a": cold, "s": ("UNAVAILABLE", "until it is scaled or loaded")}


def test_only_ready_models_are_listed_if_only_they_are_asked_for(start: Start) -> None:
    from tritonclient.grpc import service_pb2

    fleet = start({"pools": pools("a", "b")})
    fleet.ask("a")
    with InferenceServerClient(fleet.server.address) as triton:
        found = triton._client_stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True))
    assert [model.name for model in found.models] == ["a"]


def test_loading_returns_once_a_worker_is_ready(start: Start, threads: ThreadPoolExecutor) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.hold("a", "on_start")
    loading = threads.submit(control, fleet, "load", "a")
    fleet.steering.wait_called("a", "on_start")
    assert not loading.done()
    fleet.steering.release("a", "on_start")
    loading.result(30)
    assert fleet.workers("a") == ["ready"]
    # Once more is nothing.
    control(fleet, "load", "a")
    assert len(fleet.steering.pids("a")) == 1


def test_unloading_lets_requests_finish_and_refuses_others_until_it_is_loaded(
    start: Start, gate: Gate, threads: ThreadPoolExecutor
) -> None:
    fleet = start({"pools": pools("a", min=1)})
    running = fleet.asking("a", gate.parameters)
    gate.wait_entered()
    waiting = fleet.asking("a")
    fleet.wait_waiting("a", 1)
    unloading = threads.submit(control, fleet, "unload", "a")
    fleet.wait_state("a", "draining")
    with pytest.raises(UnavailableError, match="takes no requests until it is scaled or loaded"):
        fleet.ask("a")
    assert not unloading.done()
    gate.open()
    assert said(running.result(30))["pid"] == said(waiting.result(30))["pid"]
    unloading.result(30)
    assert fleet.workers("a") == []
    assert not fleet.client.is_ready("a")
    control(fleet, "unload", "a")
    control(fleet, "load", "a")
    assert fleet.client.is_ready("a")
    assert fleet.ask("a")["calls"] == 1


def test_a_name_that_several_pools_have_loads_and_unloads_them_all(start: Start) -> None:
    fleet = start({"pools": pools("a", "b", "c", "s")})
    control(fleet, "load", "letter")
    assert [fleet.state(name) for name in ("a", "b", "c", "s")] == ["ready", "ready", "ready", "idle"]
    control(fleet, "unload", "letter")
    assert [fleet.state(name) for name in ("a", "b", "c", "s")] == ["drained", "drained", "drained", "idle"]


def test_loading_wakes_a_sleeper(start: Start) -> None:
    fleet = start({"pools": pools("s")})
    pid = fleet.ask("s")["pid"]
    fleet.admin.sleep("s")
    fleet.wait_workers("s", "asleep")
    with InferenceServerClient(fleet.server.address) as triton:
        triton.load_model("s", client_timeout=5)
    assert (fleet.workers("s"), fleet.pids("s")) == (["ready"], [pid])


def test_loading_what_cannot_start_fails_with_the_reason(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.fail("a", "on_start", "no weights")
    with pytest.raises(InferenceServerException, match="no weights") as failure:
        control(fleet, "load", "a")
    assert failure.value.status() == "StatusCode.UNAVAILABLE"


def test_models_that_share_a_budget_for_one_can_be_loaded_in_turn(start: Start) -> None:
    file = {"budget": {"slots": 1}, "pools": pools("a", "b", resources={"slots": 1}, min_residence=0)}
    fleet = start(file)
    for model in ("a", "b", "a"):
        control(fleet, "load", model)
        assert fleet.workers(model) == ["ready"]
    fleet.ask("b")


def test_models_that_share_a_budget_for_one_can_be_unloaded(start: Start) -> None:
    file = {"budget": {"slots": 1}, "pools": pools("a", "b", resources={"slots": 1}, min_residence="10s")}
    fleet = start(file)
    fleet.ask("a")
    # Its minimum residence does not hold against that.
    control(fleet, "unload", "a")
    assert fleet.ask("b", timeout=5)["pool"] == "b"


def test_a_client_may_be_forbidden_to_load_and_unload(start: Start) -> None:
    fleet = start({"pools": pools("a")}, "--no-model-control")
    for call in ("load", "unload"):
        with pytest.raises(InferenceServerException, match="--no-model-control") as failure:
            control(fleet, call, "a")
        assert failure.value.status() == "StatusCode.PERMISSION_DENIED"
    assert index(fleet)["a"][0] == "UNAVAILABLE"
    assert fleet.ask("a")["calls"] == 1


def test_what_nobody_serves_cannot_be_loaded(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    for call in ("load", "unload"):
        with pytest.raises(InferenceServerException) as failure:
            control(fleet, call, "nothing here")
        assert failure.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException, match="load parameter 'config' is not supported") as failure:
        control(fleet, "load", "a", config="{}")
    assert failure.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_unloading_what_is_being_loaded_ends_both_calls(start: Start, threads: ThreadPoolExecutor) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.hold("a", "on_start")
    loading = threads.submit(control, fleet, "load", "a")
    fleet.steering.wait_called("a", "on_start")
    unloading = threads.submit(control, fleet, "unload", "a")
    unloading.result(30)
    with pytest.raises(InferenceServerException, match="drained"):
        loading.result(30)
    fleet.wait_state("a", "drained")


def test_loads_of_an_agent_that_stops_end(start: Start, threads: ThreadPoolExecutor) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.hold("a", "on_start")
    loading = threads.submit(control, fleet, "load", "a")
    fleet.steering.wait_called("a", "on_start")
    assert fleet.server.stop() == 0
    with pytest.raises(InferenceServerException, match="shutting down"):
        loading.result(30)
