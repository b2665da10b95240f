"""Keys that are unknown, missing, doubled or not for each other, and what merges and aliases make of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyserve.config import ConfigError, Problem

from tests.config.conftest import Load, Wrong

POOL = "pools:\n  chat:\n    target: app:app\n"
NAME = "a name: a letter or digit, then up to 63 letters, digits, '_', '.' or '-'"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{POOL}    idel_timeout: 1s\n", "4:5: pools.chat: unknown key 'idel_timeout'; did you mean 'idle_timeout'?"),
        (f"{POOL}    Idle-Timeout: 1s\n", "4:5: pools.chat: unknown key 'Idle-Timeout'; did you mean 'idle_timeout'?"),
        (f"{POOL}    xyz: 1s\n", "4:5: pools.chat: unknown key 'xyz'; allowed are target, factory, worker, args, env,"),
        (f"{POOL}    'a\\n': 1\n", "4:5: pools.chat: unknown key 'a\\\\n'; allowed are"),
        (f"{POOL}    {'k' * 100}: 1\n", f"4:5: pools.chat: unknown key '{'k' * 57}...'; allowed are"),
        (
            f"server: {{prot: 1}}\n{POOL}",
            "1:10: server: unknown key 'prot'; did you mean 'port'? allowed are host, port, http_port, metrics_port, "
            "max_message_size, max_queue_size, max_queue_bytes, object_store_size, object_port, "
            "object_host, object_checksum, allow_client_shm, object_spill, object_spill_size, api_server, "
            "registry, replica_id, advertise, lease, drain_timeout, stream_stall_timeout, start_timeout, "
            "log_level, log_format, debug",
        ),
        (f"defaults: {{target: 'a:a'}}\n{POOL}", "1:12: defaults: unknown key 'target'; allowed are min, max, gpus,"),
        (
            f"{POOL}pool: 1\n",
            "4:1: unknown key 'pool'; did you mean 'pools'? allowed are budget, server, defaults, pools",
        ),
        (f"budget: {{gpu: 1}}\n{POOL}", "1:10: budget: 'gpu' is not allowed here; write gpus"),
        (f"budget: {{a b: 1}}\n{POOL}", f"1:10: budget: 'a b' is not {NAME}"),
        ("pools: {'a/b': {target: 'a:a'}}", f"1:9: pools: 'a/b' is not {NAME}"),
        ("pools: {'': {target: 'a:a'}}", f"1:9: pools: '' is not {NAME}"),
        (f"pools: {{{'a' * 65}: {{target: 'a:a'}}}}", f"1:9: pools: '{'a' * 57}...' is not {NAME}"),
    ],
)
def test_keys_that_are_not_known(wrong: Wrong, text: str, problem: str) -> None:
    [found] = wrong(text)
    assert found.startswith(problem)


def test_a_counter_that_looks_like_a_mistake(wrong: Wrong) -> None:
    assert wrong(f"budget:\n  memroy: 32GiB\n{POOL}") == [
        "2:3: budget: 'memroy' is unknown; did you mean 'memory'?",
        "2:11: budget.memroy: '32GiB' is not a whole number from 0 to 9007199254740991",
    ]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["1:1: the file is empty; 'pools' with at least one pool belongs here"]),
        ("# nothing\n", ["1:1: the file is empty; 'pools' with at least one pool belongs here"]),
        ("--- ~\n", ["1:5: nothing stands where a mapping with 'pools' belongs"]),
        ("app:app", ["1:1: 'app:app' stands where a mapping with 'pools' belongs"]),
        ("- a", ["1:1: a list stands where a mapping with 'pools' belongs"]),
        ("\nbudget: {}", ["1:1: there is no 'pools', which must be there"]),
        ("pools:", ["1:7: pools: nothing stands where at least one pool belongs"]),
        ("pools: {}", ["1:8: pools: there is nothing in it; at least one pool belongs here"]),
        ("pools: {<<: {}}", ["1:8: pools: there is nothing in it; at least one pool belongs here"]),
        ("pools: [a]", ["1:8: pools: a list stands where at least one pool belongs"]),
        ("pools:\n  a:\n", ["2:5: pools.a: nothing stands where a pool with a target or a factory belongs"]),
        ("pools:\n  a: app:app\n", ["2:6: pools.a: 'app:app' stands where a pool with a target or a factory belongs"]),
        ("pools:\n  a:\n    {}\n", ["2:3: pools.a: there is neither target nor factory; one of them must be"]),
        (
            "pools:\n  a:\n    factory: a:a\n    target: a:a\n",
            ["3:5: pools.a: target and factory are both there; only one of them may be"],
        ),
        (
            "pools:\n  a:\n    args: {}\n    target: a:a\n",
            ["3:5: pools.a: args goes only with factory, which is not there"],
        ),
        (f"server:\n{POOL}", ["1:8: server: nothing stands where a mapping belongs"]),
    ],
)
def test_what_must_be_there(wrong: Wrong, text: str, problems: list[str]) -> None:
    assert wrong(text) == problems


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("min: 1\n    min: 2", "5:5: pools.chat: 'min' is there twice, first in line 4"),
        ("target: b:b", "4:5: pools.chat: 'target' is there twice, first in line 3"),
        ("'target': b:b", "4:5: pools.chat: 'target' is there twice, first in line 3"),
        ("env: {A: a, A: b}", "4:17: pools.chat.env: 'A' is there twice, first in line 4"),
        ("<<: {min: 1}\n    <<: {max: 2}", "5:5: pools.chat: '<<' is there twice, first in line 4"),
        ("<<: 1", "4:9: pools.chat: '<<' merges mappings, such as '<<: *base', not '1'"),
        ("<<: [{}, [a]]", "4:14: pools.chat: '<<' merges mappings, such as '<<: *base', not a list"),
        ("env: {1: a}", "4:11: pools.chat.env: YAML reads the key 1 as the number 1; quote it: '1'"),
        ("env: {on: a}", "4:11: pools.chat.env: YAML reads the key on as the boolean true; quote it: 'on'"),
        ("env: {~: a}", "4:11: pools.chat.env: YAML reads the key ~ as nothing; quote it: '~'"),
        ("env: {[A]: a}", "4:11: pools.chat.env: a list stands where a key belongs"),
        ("env: {? {A: a}}", "4:13: pools.chat.env: a mapping stands where a key belongs"),
    ],
)
def test_keys_that_are_none_or_doubled(wrong: Wrong, line: str, problem: str) -> None:
    assert wrong(f"{POOL}    {line}\n") == [problem]


def test_a_fault_that_is_merged_into_many_pools_is_told_once(wrong: Wrong) -> None:
    text = """\
x-base: &base
  target: app:app
  idle_timeout: never ever
  colour: red
pools:
  one: {<<: *base}
  two: {<<: *base, min: 1}
  three: *base
"""
    unknown, duration = wrong(text)[1], wrong(text)[0]
    assert duration.startswith("3:17: pools.one.idle_timeout: 'never ever' is not a duration")
    assert unknown.startswith("4:3: pools.one: unknown key 'colour'; allowed are")


def test_what_wins_over_a_merge_is_not_judged(load: Load) -> None:
    config = load("x-base: &base {idle_timeout: wrong}\npools: {a: {<<: *base, target: 'a:a', idle_timeout: 1s}}")
    assert config.pools[0].options.idle_timeout == 1.0


def test_everything_that_is_wrong_is_told_at_once(wrong: Wrong) -> None:
    text = """\
budget:
  gpus: [0, zero]
server:
  port: 65536
defaults:
  gpus: -1
pools:
  " a":
    args: {}
  chat:
    target: app
    factory: app:make
    colour: red
    capabilities: [{type: chat}, {type: chat}]
    min: many
"""
    assert [found.split(": ", 1)[0] for found in wrong(text)] == [
        "2:13",
        "4:9",
        "6:9",
        "8:3",  # the name
        "8:3",  # neither target nor factory
        "9:5",
        "11:13",
        "12:5",
        "13:5",
        "14:34",
        "15:10",
    ]


def test_the_text_of_the_error(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "anyserve.yaml"
    with pytest.raises(ConfigError) as raised:
        load(f"{POOL}    idle_timeout: 5 mins\n    min: -1\n")
    assert raised.value.path == path
    assert raised.value.problems == [
        Problem(4, 19, f"pools.chat.idle_timeout: '5 mins' is not {DURATION}, or never"),
        Problem(5, 10, "pools.chat.min: '-1' is not a whole number from 0 to 1024"),
    ]
    assert str(raised.value).splitlines() == [
        f"{path}:4:19: pools.chat.idle_timeout: '5 mins' is not {DURATION}, or never",
        f"{path}:5:10: pools.chat.min: '-1' is not a whole number from 0 to 1024",
    ]


DURATION = "a duration such as 30, 500ms, 30s, 5m or 1h"


def test_the_text_of_the_error_has_an_end(load: Load) -> None:
    with pytest.raises(ConfigError) as raised:
        load("pools:\n" + "".join(f"  p{index}: x\n" for index in range(150)))
    assert len(raised.value.problems) == 150
    lines = str(raised.value).splitlines()
    assert len(lines) == 101
    assert lines[-1].endswith("anyserve.yaml: and 50 more")
