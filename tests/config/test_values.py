"""Values that are wrong: each with where it is, what YAML makes of it, and what would be right."""

from __future__ import annotations

import pytest

from tests.config.conftest import Load, Wrong

DURATION = "a duration such as 30, 500ms, 30s, 5m or 1h"
COUNT = "a whole number from 0 to 1024"
PORT = "a whole number from 0 to 65535"
TARGET = "MODULE:ATTRIBUTE, such as app:app"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("slo: 5 mins", f"10: pools.chat.slo: '5 mins' is not {DURATION}"),
        ("slo: -5", f"10: pools.chat.slo: '-5' is not {DURATION}"),
        ("slo: 0", "10: pools.chat.slo: '0' is not a positive duration of at most 1e+09 s"),
        ("slo: 2e9s", f"10: pools.chat.slo: '2e9s' is not {DURATION}"),
        ("slo: 99999d", "10: pools.chat.slo: '99999d' is not a positive duration of at most 1e+09 s"),
        ("slo: ٣", f"10: pools.chat.slo: '٣' is not {DURATION}"),
        ("slo: 5:30", f"10: pools.chat.slo: YAML reads 5:30 as the number 330, but {DURATION} belongs here"),
        ("slo: 1_000", f"10: pools.chat.slo: YAML reads 1_000 as the number 1000, but {DURATION} belongs here"),
        ("slo: 010", f"10: pools.chat.slo: YAML reads 010 as the number 8, but {DURATION} belongs here"),
        ("slo: yes", f"10: pools.chat.slo: YAML reads yes as the boolean true, but {DURATION} belongs here"),
        ("slo: ~", f"10: pools.chat.slo: YAML reads ~ as nothing, but {DURATION} belongs here"),
        ("slo:", f"9: pools.chat.slo: nothing stands where {DURATION} belongs"),
        ("slo: [1]", f"10: pools.chat.slo: a list stands where {DURATION} belongs"),
        ("slo: {s: 1}", f"10: pools.chat.slo: a mapping stands where {DURATION} belongs"),
        ("idle_timeout: 5 mins", f"19: pools.chat.idle_timeout: '5 mins' is not {DURATION}, or never"),
        (
            "idle_timeout: 0",
            "19: pools.chat.idle_timeout: '0' is not a positive duration of at most 1e+09 s, or never",
        ),
        ("min_residence: -1", f"20: pools.chat.min_residence: '-1' is not {DURATION}"),
        ("slo: " + "9" * 100, f"10: pools.chat.slo: YAML reads '{'9' * 57}...' as a very long number, but {DURATION}"),
    ],
)
def test_durations(wrong: Wrong, line: str, problem: str) -> None:
    [found] = wrong(f"pools:\n  chat:\n    target: app:app\n    {line}\n")
    assert found.startswith(f"4:{problem}")


SIZE = "a size such as 1048576, 64MiB or 1.5GiB"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("memory: 4 giraffes", f"13: pools.chat.memory: '4 giraffes' is not {SIZE}"),
        ("memory: -1GiB", f"13: pools.chat.memory: '-1GiB' is not {SIZE}"),
        (
            "memory: 32",
            "13: pools.chat.memory: '32' is not 0 or a size from 1MiB to 1024TiB; without a unit it is in bytes",
        ),
        ("memory: 2000TiB", "13: pools.chat.memory: '2000TiB' is not 0 or a size from 1MiB to 1024TiB"),
        ("memory: '" + "9" * 400 + "'", f"13: pools.chat.memory: '{'9' * 57}...' is not 0 or a size from 1MiB to"),
        ("memory: no", f"13: pools.chat.memory: YAML reads no as the boolean false, but {SIZE} belongs here"),
        ("memory: 0x10", f"13: pools.chat.memory: YAML reads 0x10 as the number 16, but {SIZE} belongs here"),
        ("memory: 10:00", f"13: pools.chat.memory: YAML reads 10:00 as the number 600, but {SIZE} belongs here"),
    ],
)
def test_sizes(wrong: Wrong, line: str, problem: str) -> None:
    [found] = wrong(f"pools:\n  chat:\n    target: app:app\n    {line}\n")
    assert found.startswith(f"4:{problem}")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("min: 1.5", f"10: pools.chat.min: '1.5' is not {COUNT}"),
        ("min: -1", f"10: pools.chat.min: '-1' is not {COUNT}"),
        ("min: 1025", f"10: pools.chat.min: '1025' is not {COUNT}"),
        ("min: one", f"10: pools.chat.min: 'one' is not {COUNT}"),
        ("min: '1'", f"10: pools.chat.min: '1' is a text, because it is quoted; {COUNT} belongs here"),
        ("min: true", f"10: pools.chat.min: 'true' is not {COUNT}"),
        ("min: on", f"10: pools.chat.min: YAML reads on as the boolean true, but {COUNT} belongs here"),
        ("min: 2001-01-01", f"10: pools.chat.min: YAML reads 2001-01-01 as a date, but {COUNT} belongs here"),
        ("min: 08", f"10: pools.chat.min: YAML reads 08 as a number in some versions only, but {COUNT} belongs here"),
        ("min: !!int five", f"10: pools.chat.min: YAML reads five as a number that it is not, but {COUNT} belongs"),
        ("min: !!float", f"10: pools.chat.min: YAML reads '' as a number that it is not, but {COUNT} belongs"),
        ("max: 0", "10: pools.chat.max: '0' is not a whole number from 1 to 1024"),
        ("eviction_cost: 0", "20: pools.chat.eviction_cost: '0' is not a number above 0, at most 1e+09"),
        ("eviction_cost: .inf", "20: pools.chat.eviction_cost: YAML reads .inf as the number inf, but a number above"),
        ("eviction_cost: 1e999", "20: pools.chat.eviction_cost: YAML reads 1e999 as a number without end, but a"),
        ("pinned: yes", "13: pools.chat.pinned: YAML reads yes as the boolean true, but true or false belongs here"),
        ("pinned: 1", "13: pools.chat.pinned: '1' is not true or false"),
        ("pinned: 'true'", "13: pools.chat.pinned: 'true' is a text, because it is quoted; true or false belongs"),
    ],
)
def test_numbers_and_booleans(wrong: Wrong, line: str, problem: str) -> None:
    [found] = wrong(f"pools:\n  chat:\n    target: app:app\n    {line}\n")
    assert found.startswith(f"4:{problem}")


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("1", "the number 1"),
        ("1.50", "the number 1.5"),
        ("no", "the boolean false"),
        ("true", "the boolean true"),
        ("2001-01-01", "a date"),
        ("~", "nothing"),
        ("5:30", "the number 330"),
        ("010", "the number 8"),
        ("08", "a number in some versions only"),
        ("1e3", "the number 1000"),
    ],
)
def test_a_text_that_yaml_takes_for_something_else(wrong: Wrong, load: Load, value: str, meaning: str) -> None:
    text = "pools:\n  chat:\n    target: app:app\n    env: {LEVEL: %s}\n"
    assert wrong(text % value) == [
        f"4:18: pools.chat.env.LEVEL: YAML reads {value} as {meaning}, but a text belongs here; quote it: '{value}'"
    ]
    assert load(text % f"'{value}'").pools[0].env == {"LEVEL": value}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("target: app", f"13: pools.chat.target: 'app' is not {TARGET}"),
        ("target: ':app'", f"13: pools.chat.target: ':app' is not {TARGET}"),
        ("target: 'app:'", f"13: pools.chat.target: 'app:' is not {TARGET}"),
        ("target: 'a b:c'", f"13: pools.chat.target: 'a b:c' is not {TARGET}"),
        ("target: a:b:c", f"13: pools.chat.target: 'a:b:c' is not {TARGET}"),
        ("target: ./app.py:app", f"13: pools.chat.target: './app.py:app' is not {TARGET}"),
        (
            "target: 10:20",
            f"13: pools.chat.target: YAML reads 10:20 as the number 620, but {TARGET} belongs here; quote it: '10:20'",
        ),
        ("target: [app:app]", f"13: pools.chat.target: a list stands where {TARGET} belongs"),
        ("factory: app", f"14: pools.chat.factory: 'app' is not {TARGET}"),
    ],
)
def test_targets(wrong: Wrong, line: str, problem: str) -> None:
    assert wrong(f"pools:\n  chat:\n    {line}\n") == [f"3:{problem}"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("worker: a b", "13: pools.chat.worker: 'a b' is not the name of a worker class, or default"),
        ("preload: numpy", "14: pools.chat.preload: 'numpy' stands where a list of modules such as [numpy] belongs"),
        ("preload: [a, a/b]", "18: pools.chat.preload[1]: 'a/b' is not the name of a module"),
        ("preload: [a, b, a]", "21: pools.chat.preload[2]: a is there twice, first in line 4"),
        ("env: [A]", "10: pools.chat.env: a list stands where a mapping belongs"),
        ("env: {A=B: c}", "11: pools.chat.env: 'A=B' is not the name of a variable"),
        ('env: {A: "a\\0b"}', "14: pools.chat.env.A: 'a\\x00b' has a NUL in it, which no process can be given"),
        ("resources: {gpus: 1}", "17: pools.chat.resources: 'gpus' is not allowed here; write gpus beside resources"),
        (
            "resources: {memory: 1GiB}",
            "17: pools.chat.resources: 'memory' is not allowed here; write memory beside resources",
        ),
        ("asleep: {gpus: 1}", "14: pools.chat.asleep: 'gpus' is not allowed here; a sleeping worker keeps no GPU"),
        (
            "asleep: {slots: 1GiB}",
            "21: pools.chat.asleep.slots: '1GiB' is not a whole number from 0 to 9007199254740991",
        ),
    ],
)
def test_texts_lists_and_mappings(wrong: Wrong, line: str, problem: str) -> None:
    assert wrong(f"pools:\n  chat:\n    target: app:app\n    {line}\n") == [f"4:{problem}"]


CAPABILITY = "a capability such as {type: chat, model: llama}"
CAPABILITIES = "a list of capabilities such as [{type: chat, model: llama}]"


@pytest.mark.parametrize(
    ("given", "column", "problem"),
    [
        ("chat", 19, f": 'chat' stands where {CAPABILITIES} belongs"),
        ("[]", 19, f": there is nothing in it; {CAPABILITIES} belongs here"),
        ("[chat]", 20, f"[0]: 'chat' stands where {CAPABILITY} belongs"),
        ("[{}]", 20, f"[0]: there is nothing in it; {CAPABILITY} belongs here"),
        ("[{a: 1}, {A: '1'}]", 28, "[1]: {a: 1} is there twice, first in line 4"),
        ("[{1a: x}]", 20, "[0]: capability key '1a' is not allowed; a key is a letter, then up to 63 letters, digits,"),
        ("[{a: ~}]", 24, "[0].a: YAML reads ~ as nothing, but a text, a number or a boolean belongs here"),
        ("[{a: [1]}]", 24, "[0].a: a list stands where a text, a number or a boolean belongs"),
        ("[{a: 1.10}]", 24, "[0].a: YAML reads 1.10 as the number 1.1; quote it: '1.10'"),
        ("[{a: 08}]", 24, "[0].a: YAML reads 08 as a number in some versions only; quote it: '08'"),
        ("[{a: no}]", 24, "[0].a: YAML reads no as the boolean false; quote it: 'no'"),
        ("[{no: a}]", 21, "[0]: YAML reads the key no as the boolean false; quote it: 'no'"),
    ],
)
def test_capabilities(wrong: Wrong, given: str, column: int, problem: str) -> None:
    [found] = wrong(f"pools:\n  chat:\n    target: app:app\n    capabilities: {given}\n")
    assert found.startswith(f"4:{column}: pools.chat.capabilities{problem}")


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ("{a: 5:30}", "15: pools.chat.args.a: YAML reads 5:30 as the number 330; write that, or quote it: '5:30'"),
        ("{a: [.nan]}", "16: pools.chat.args.a[0]: YAML reads .nan as the number nan; write that, or quote it: '.nan'"),
        ("{a: {1: 2}}", "16: pools.chat.args.a: YAML reads the key 1 as the number 1; quote it: '1'"),
        ("[a]", "11: pools.chat.args: a list stands where a mapping belongs"),
    ],
)
def test_arguments(wrong: Wrong, args: str, problem: str) -> None:
    assert wrong(f"pools:\n  chat:\n    factory: app:make\n    args: {args}\n") == [f"4:{problem}"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("port: 65536", f"9: server.port: '65536' is not {PORT}"),
        ("port: 08", f"9: server.port: YAML reads 08 as a number in some versions only, but {PORT} belongs here"),
        (
            "metrics_port: off",
            f"17: server.metrics_port: YAML reads off as the boolean false, but {PORT} belongs here, or none",
        ),
        ("host: 1", "9: server.host: YAML reads 1 as the number 1, but an address belongs here; quote it: '1'"),
        ("host: ''", "9: server.host: '' is not an address"),
        (
            "max_message_size: 1",
            "21: server.max_message_size: '1' is not a size from 1KiB to 2147483647 bytes; "
            "without a unit it is in bytes",
        ),
        ("max_queue_size: 0", "19: server.max_queue_size: '0' is not a whole number from 1 to 4294967295"),
        (
            "log_level: inf",
            "14: server.log_level: 'inf' is not one of error, warn, info, debug, trace; did you mean 'info'?",
        ),
        ("log_format: xml", "15: server.log_format: 'xml' is not one of text, json"),
    ],
)
def test_server_settings(wrong: Wrong, line: str, problem: str) -> None:
    assert wrong(f"pools: {{a: {{target: 'a:a'}}}}\nserver:\n  {line}\n") == [f"3:{problem}"]
