"""The JSON schema: it is one, it is the committed one, and it agrees with the reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from anyserve.config import ConfigError, schema_text
from anyserve.pool import PoolOptions

from tests.config.conftest import Load
from tests.config.test_reading import EVERYTHING
from tests.server import ROOT

SCHEMA: dict[str, Any] = json.loads(schema_text())
POOL = "pools: {chat: {target: 'app:app', %s}}"
SERVER = "server: {%s}\npools: {chat: {target: 'app:app'}}"
BUDGET = "budget: {%s}\npools: {chat: {target: 'app:app'}}"

RIGHT = [
    EVERYTHING,
    "x-anything: [1, {2: 3}]\npools: {a: {factory: 'a.b:c.d', args: {x: null}}}",
    "defaults: {min: 1, asleep: {memory: 0}}\npools: {a: {target: 'a:b'}, B.2-c_: {target: 'a:b'}}",
    POOL % "min: 0, max: 1024, gpus: 1024, preload: [], env: {}",
    *[POOL % f"slo: {slo}" for slo in ("30", "0.5", "500ms", "1h30m", "'30'", "1.5d", "5 M", "1h 30m", "'00.10'")],
    *[POOL % f"memory: {size}" for size in ("0", "1048576", "1MiB", "'1.5 GiB'", "10g", "2tb", "1G")],
    *[POOL % option for option in ("idle_timeout: never", "min_residence: 0", "min_residence: 0s", "max_requests: 0")],
    *[
        SERVER % option
        for option in ("http_port: 0", "metrics_port: none", "metrics_port: 0", "port: 65535", "max_queue_bytes: 1MiB")
    ],
    *[BUDGET % option for option in ("gpus: all", "gpus: []", "gpus: [0, 7]", "my-counter: 0", "")],
]
WRONG = [
    "pools: {}",
    "pools: []",
    "budget: {}",
    "[]",
    "pools: {a: {}}",
    "pools: {a: {target: 'a:b', factory: 'a:b'}}",
    "pools: {a: {target: 'a:b', args: {}}}",
    "pools: {'a b': {target: 'a:b'}}",
    "pool: {}\npools: {a: {target: 'a:b'}}",
    "defaults: {target: 'a:b'}\npools: {a: {target: 'a:b'}}",
    *[f"pools: {{a: {{target: {target}}}}}" for target in ("app", "':a'", "'a:'", "1", "[a]", "'a b:c'", "a/b.py:c")],
    *[POOL % f"slo: {slo}" for slo in ("0", "-1", "0s", "5 mins", "''", "true", "[1]", "2000000000", "never", "1m5")],
    *[POOL % f"memory: {size}" for size in ("-1", "1", "4 giraffes", "1.5", "true", "'-1'")],
    *[POOL % f"min: {count}" for count in ("-1", "1025", "1.5", "'1'", "true", "x")],
    *[POOL % f"eviction_cost: {cost}" for cost in ("0", "-1", "'1'")],
    *[POOL % f"pinned: {flag}" for flag in ("1", "'true'")],
    *[POOL % f"preload: {modules}" for modules in ("numpy", "[a, a]", "['a/b']", "[1]")],
    *[
        POOL % f"capabilities: {given}"
        for given in ("[]", "{a: 1}", "[{}]", "[{a: [1]}]", "[{a: null}]", "[{a: 1}, {a: 1}]")
    ],
    *[POOL % f"env: {env}" for env in ("{A: 1}", "{A: true}", "{'A=B': x}", "[A]")],
    *[POOL % f"resources: {{{what}: 1}}" for what in ("gpus", "memory", "GPU", "'a b'")],
    *[POOL % f"asleep: {{{what}: 1}}" for what in ("gpus", "memory")],
    *[POOL % option for option in ("colour: red", "max: 0", "idle_timeout: 0", "idle_timeout: ever", "worker: ''")],
    *[SERVER % option for option in ("port: 65536", "metrics_port: some", "log_level: loud", "debug: 1", "host: ''")],
    *[SERVER % option for option in ("max_message_size: 1", "max_message_size: 0", "drain_timeout: 0", "prot: 1")],
    *[BUDGET % option for option in ("gpus: some", "gpus: [0, 0]", "gpus: [-1]", "gpu: 1", "ram: 1GiB", "slots: -1")],
]


def is_valid(text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(yaml.safe_load(text)))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


def test_the_committed_one_is_up_to_date() -> None:
    """If not: `anyserve config schema > docs/anyserve.schema.json`."""
    assert (ROOT / "docs" / "anyserve.schema.json").read_text() == schema_text() + "\n"


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_is_so_for_both(load: Load, text: str) -> None:
    load(text)
    assert is_valid(text)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_so_for_both(load: Load, text: str) -> None:
    with pytest.raises(ConfigError):
        load(text)
    assert not is_valid(text)


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All keys with a fixed name, by their paths."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}{name}", field
        yield from fields(field, f"{path}{name}.")
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        yield from fields(others, f"{path}*.")


FIELDS = dict(fields(SCHEMA))


def test_editors_can_explain_every_key() -> None:
    assert {"budget.gpus", "server.port", "defaults.min", "pools.*.min", "pools.*.asleep.memory"} <= set(FIELDS)
    for path, field in FIELDS.items():
        assert field["description"].endswith("."), path


def test_every_option_of_a_pool_can_be_said() -> None:
    for name in PoolOptions._fields:
        assert f"pools.*.{name}" in FIELDS
        assert f"defaults.{name}" in FIELDS


def test_every_key_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for path, field in FIELDS.items():
        row = f"| `{path.rpartition('.')[2]}` |"
        assert row in text, path
        assert field["description"].partition(" Default: ")[0] in text, path


def examples(kind: str) -> list[str]:
    text = (ROOT / "docs" / "configuration.md").read_text()
    return [part.partition("\n```")[0] for part in text.split(f"```{kind}\n")[1:]]


@pytest.mark.parametrize("text", examples("yaml"))
def test_the_examples_of_the_documentation_are_right(load: Load, text: str) -> None:
    load(text)
    assert is_valid(text)


def test_the_wrong_example_of_the_documentation_is_wrong_as_it_says(load: Load) -> None:
    [text] = examples("text")
    with pytest.raises(ConfigError) as raised:
        load(text)
    told = str(raised.value).replace(str(raised.value.path), "anyserve.yaml")
    assert f"$ anyserve config check\n{told}" in examples("console")
