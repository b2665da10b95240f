"""What a file becomes that is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyserve import Capability
from anyserve.config import load_config
from anyserve.pool import PoolOptions

from tests.config.conftest import Load

EVERYTHING = """\
budget:
  gpus: [0, 1]
  memory: 32GiB
  slots: 1
server:
  host: 0.0.0.0
  port: 8001
  metrics_port: none
  max_message_size: 1MiB
  max_queue_size: 10
  max_queue_bytes: 1g
  drain_timeout: 10s
  stream_stall_timeout: 90
  start_timeout: 1h
  log_level: debug
  log_format: json
  debug: true
pools:
  chat:
    factory: app.models:make.app
    worker: ChatWorker
    args: {path: llama.gguf, deep: {list: [1, 2.5, true, null, "7"]}}
    env: {HF_HOME: /models, EMPTY: "", LEVEL: "1"}
    capabilities: [{type: chat, model: llama-70b}, {type: chat, version: 2, fast: true}]
    min: 0
    max: 2
    gpus: 1
    memory: 4GiB
    resources: {slots: 1}
    asleep: {memory: 1GiB, slots: 0}
    idle_timeout: never
    start_timeout: 1h30m
    stop_timeout: 500ms
    min_residence: 0
    heartbeat_timeout: 30
    slo: 0.25
    eviction_cost: 2
    pinned: false
    max_rss: 8GiB
    max_requests: 10000
    preload: [numpy, anyserve.batch]
"""


def test_everything_that_can_be_said(load: Load, tmp_path: Path) -> None:
    config = load(EVERYTHING)
    assert config.path == tmp_path / "anyserve.yaml"
    assert config.budget.gpus == [0, 1]
    assert config.budget.counters == {"memory": 32 << 30, "slots": 1}
    assert config.server == {
        "host": "0.0.0.0",
        "port": 8001,
        "metrics_port": None,
        "max_message_size": 1 << 20,
        "max_queue_size": 10,
        "max_queue_bytes": 1 << 30,
        "drain_timeout": 10.0,
        "stream_stall_timeout": 90.0,
        "start_timeout": 3600.0,
        "log_level": "debug",
        "log_format": "json",
        "debug": True,
    }
    [pool] = config.pools
    assert (pool.name, pool.target, pool.factory, pool.worker, pool.line) == (
        "chat",
        "app.models:make.app",
        True,
        "ChatWorker",
        19,
    )
    assert pool.args == {"path": "llama.gguf", "deep": {"list": [1, 2.5, True, None, "7"]}}
    assert pool.env == {"HF_HOME": "/models", "EMPTY": "", "LEVEL": "1"}
    assert pool.capabilities == [
        Capability({"type": "chat", "model": "llama-70b"}),
        Capability({"type": "chat", "version": 2, "fast": True}),
    ]
    assert pool.options == PoolOptions(
        min=0,
        max=2,
        gpus=1,
        resources={"memory": 4 << 30, "slots": 1},
        asleep={"memory": 1 << 30, "slots": 0},
        idle_timeout=0.0,
        start_timeout=5400.0,
        stop_timeout=0.5,
        min_residence=0.0,
        heartbeat_timeout=30.0,
        eviction_cost=2.0,
        pinned=False,
        max_rss=8 << 30,
        max_requests=10000,
        preload=["numpy", "anyserve.batch"],
        slo=0.25,
    )


def test_the_example_says_every_option() -> None:
    for name in (*PoolOptions._fields, "memory"):
        assert f"\n    {name}: " in EVERYTHING, name


def test_as_little_as_can_be_said(load: Load) -> None:
    config = load("pools: {chat: {target: 'app:app'}}")
    assert (config.budget.gpus, config.budget.counters, config.server) == (None, {}, {})
    [pool] = config.pools
    assert (pool.target, pool.factory, pool.worker, pool.args, pool.env) == ("app:app", False, None, {}, {})
    assert pool.capabilities is None
    assert pool.options == PoolOptions()
    assert pool.line == 1


def test_pools_keep_their_order_and_their_lines(load: Load) -> None:
    config = load("pools:\n  b: {target: 'app:b'}\n\n  a.1-x_Y: {target: 'app:a'}\n  '7': {target: 'app:c'}\n")
    assert [(pool.name, pool.line) for pool in config.pools] == [("b", 2), ("a.1-x_Y", 4), ("7", 5)]


def test_the_path_may_be_a_text(tmp_path: Path) -> None:
    path = tmp_path / "pools.yaml"
    path.write_bytes(b"\xef\xbb\xbfpools:\r\n  chat:\r\n    target: app:app\r\n")
    assert load_config(str(path)).pools[0].line == 2


def test_what_a_pool_does_not_say_the_defaults_do(load: Load) -> None:
    config = load(
        """\
budget: {slots: 3, tokens: 5}
defaults:
  max: 3
  memory: 1GiB
  idle_timeout: 10m
  resources: {slots: 1, tokens: 1}
  asleep: {memory: 1MiB}
  preload: [numpy, json]
pools:
  plain: {target: 'app:app'}
  own:
    target: app:app
    memory: 2GiB
    idle_timeout: 1s
    resources: {slots: 2}
    asleep: {slots: 1}
    preload: []
"""
    )
    plain, own = (pool.options for pool in config.pools)
    assert plain == PoolOptions(
        max=3,
        resources={"memory": 1 << 30, "slots": 1, "tokens": 1},
        asleep={"memory": 1 << 20},
        idle_timeout=600.0,
        preload=["numpy", "json"],
    )
    assert own == PoolOptions(
        max=3,
        resources={"memory": 2 << 30, "slots": 2, "tokens": 1},
        asleep={"memory": 1 << 20, "slots": 1},
        idle_timeout=1.0,
        preload=[],
    )


def test_aliases_and_merges(load: Load) -> None:
    config = load(
        """\
x-base: &base
  target: app:app
  env: &env {A: "1", B: "2"}
  min: 1
  max: 3
x-small: &small {min: 0, gpus: 0}
pools:
  one: *base
  two:
    <<: [*small, *base]
    max: &most 2
    env: {<<: *env, B: own}
  three: {<<: *base, max: *most}
"""
    )
    one, two, three = config.pools
    assert (one.target, one.env, one.options) == ("app:app", {"A": "1", "B": "2"}, PoolOptions(min=1, max=3))
    assert (two.target, two.env, two.options) == ("app:app", {"A": "1", "B": "own"}, PoolOptions(min=0, max=2, gpus=0))
    assert three.options == PoolOptions(min=1, max=2)


@pytest.mark.parametrize(
    ("given", "gpus"), [("all", None), ("[]", []), ("[3, 1]", [3, 1]), ("\n  - 0\n  - 1023", [0, 1023])]
)
def test_gpus_of_the_budget(load: Load, given: str, gpus: list[int] | None) -> None:
    assert load(f"budget:\n  gpus: {given}\npools: {{a: {{target: 'a:a'}}}}").budget.gpus == gpus


def test_reading_a_file_executes_nothing(load: Load) -> None:
    config = load("pools: {a: {target: 'there.is.no.such.module:app', preload: [nor.this.one]}}")
    assert config.pools[0].target == "there.is.no.such.module:app"
