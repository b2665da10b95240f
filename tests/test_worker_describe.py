"""What a worker process says of its application, and which pool it serves."""

from __future__ import annotations

import pytest

from tests.wire import Message
from tests.worker_process import WorkerProcess

APP = "tests.apps.describing:app"
US = 1_000_000
GIB = 1 << 30


def declared(target: str, *flags: str, arguments: dict[str, object] | None = None) -> dict[str, Message]:
    """The pools that the process declares before it ends."""
    with WorkerProcess(target, *flags, arguments=arguments) as worker:
        message = worker.expect("declared")
        assert worker.end() == 0
    assert message["protocol_version"] > 0
    return {pool["name"]: pool for pool in message["pools"]}


@pytest.mark.parametrize("flags", [["--describe"], []])
def test_an_application_of_many_pools_declares_them_all(flags: list[str]) -> None:
    pools = declared(APP, *flags)
    assert list(pools) == ["default", "ChatWorker", "plain.one"]
    default, chat, plain = pools.values()

    assert [capability["pairs"] for capability in default["capabilities"]] == [{"type": "echo"}, {"type": "add"}]
    assert default["capabilities"][1]["slo_us"] == 0.5 * US
    assert default["concurrency"] == 32
    assert "sleeps" not in default
    assert default["options"] == {"gpus": 2, "resources": {}, "asleep": {}, "preload": []}

    models = [{"type": "chat", "model": "llama-70b"}, {"type": "complete", "model": "llama-70b"}]
    assert [capability["pairs"] for capability in chat["capabilities"]] == models
    assert {(one["timeout_us"], one["slo_us"], one["idempotent"]) for one in chat["capabilities"]} == {
        (60 * US, US // 4, True)
    }
    assert (chat["concurrency"], chat["sleeps"]) == (8, True)
    assert chat["options"] == {
        "min": 0,
        "max": 2,
        "gpus": 2,
        "resources": {"memory": 16 * GIB, "licences": 1},
        "asleep": {"memory": 4 * GIB},
        "idle_timeout_us": 300 * US,
        "start_timeout_us": 90 * US,
        "stop_timeout_us": US // 2,
        "min_residence_us": 0,
        "heartbeat_timeout_us": 5400 * US,
        "eviction_cost": 2.5,
        "pinned": True,
        "max_rss": 20 * GIB,
        "max_requests": 1000,
        "preload": ["json", "email.mime"],
    }

    assert plain["options"] == {"idle_timeout_us": 0, "resources": {}, "asleep": {}, "preload": []}
    assert plain["concurrency"] == 1
    assert "sleeps" not in plain


@pytest.mark.parametrize("target", ["tests.apps.describing:only_gpus", "tests.apps.describing:only_class"])
def test_what_needs_more_than_a_process_is_declared_first(target: str) -> None:
    assert len(declared(target)) == 1


def test_functions_that_need_nothing_are_served_at_once() -> None:
    with WorkerProcess("examples.basic.app:app") as worker:
        hello = worker.welcome()
        assert [capability["pairs"]["type"] for capability in hello["capabilities"]] == ["echo", "add"]
        assert "sleeps" not in hello
        # An agent would not ask; there is nothing to do, and it must not wait for ever.
        assert worker.order("sleep", level=1) == {}
        assert worker.stop() == 0


def test_functions_that_need_nothing_are_declared_if_that_is_asked() -> None:
    assert list(declared("examples.basic.app:app", "--describe")) == ["default"]


@pytest.mark.parametrize(
    ("pool", "types"), [("default", ["echo", "add"]), ("ChatWorker", ["chat", "complete"]), ("plain.one", ["plain"])]
)
def test_the_pool_that_is_asked_for_is_served(pool: str, types: list[str]) -> None:
    with WorkerProcess(APP, pool=pool) as worker:
        hello = worker.welcome()
        assert [capability["pairs"]["type"] for capability in hello["capabilities"]] == types
        assert hello.get("sleeps", False) is (pool == "ChatWorker")
        assert worker.stop() == 0


def test_a_factory_gets_its_arguments() -> None:
    pools = declared("tests.apps.describing:make", "--describe", arguments={"name": "a", "size": 3})
    assert pools["default"]["capabilities"][0]["pairs"] == {"type": "a", "size": "3"}


def failed(target: str, *flags: str) -> Message:
    """Why the process could not start."""
    with WorkerProcess(target, *flags) as worker:
        message = worker.expect("start_failed")
        assert worker.end() == 1
    return message


MAKE = "tests.apps.describing:make"


@pytest.mark.parametrize(
    ("target", "flags", "parts"),
    [
        (APP, ["--pool", "chat"], ["has no pool 'chat'; it has 'default', 'ChatWorker', 'plain.one'"]),
        (APP, ["--pool"], ["--pool needs a value"]),
        (APP, ["--pol", "x"], ["no argument '--pol'"]),
        (APP, ["other:app"], ["no argument 'other:app'"]),
        (APP, ["--args", '{"a": 1}'], ["only a factory takes arguments", "add --factory"]),
        (MAKE, ["--factory", "--args", "{a: 1}"], ["--args {a: 1} is not JSON"]),
        (MAKE, ["--factory", "--args", "[1]"], ["--args [1] is not a JSON object"]),
        (MAKE, ["--factory"], ["missing 1 required positional argument: 'name'", "it takes (name: 'str', *, size"]),
        (
            MAKE,
            ["--factory", "--args", '{"name": "a", "siz": 1}'],
            ["unexpected keyword argument 'siz'", "it takes (na"],
        ),
    ],
)
def test_arguments_that_are_wrong_are_told_with_what_would_be_right(
    target: str, flags: list[str], parts: list[str]
) -> None:
    message = failed(target, *flags)
    for part in parts:
        assert part in message["message"]
    assert "traceback" not in message


def test_what_a_factory_raises_itself_comes_with_its_traceback() -> None:
    message = failed(MAKE, "--factory", "--args", '{"name": "a", "size": -1}')
    assert message["message"].endswith("raised TypeError: size is negative")
    assert "in make" in message["traceback"]
