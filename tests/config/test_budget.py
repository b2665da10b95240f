"""Whether pools fit each other and the budget, with the arithmetic if they do not."""

from __future__ import annotations

import pytest

from tests.config.conftest import Load, Wrong


def pool(name: str, **options: object) -> str:
    said = ", ".join(f"{option}: {value}" for option, value in options.items())
    return f"  {name}: {{target: 'a:a', {said}}}\n"


@pytest.mark.parametrize(
    ("budget", "options", "column", "problem"),
    [
        ("gpus: [0]", "gpus: 2", 11, "gpus: pool 'chat' takes 2 GPUs for each worker; the budget has 1: [0]"),
        ("gpus: []", "gpus: 1", 11, "gpus: pool 'chat' takes 1 GPU for each worker; the budget has none"),
        (
            "memory: 32GiB",
            "memory: 33.5GiB",
            13,
            "memory: pool 'chat' takes 33.5GiB of memory for each worker; the budget has 32GiB",
        ),
        (
            "memory: 32GiB",
            "memory: 34359738369",
            13,
            "memory: pool 'chat' takes 34359738369 bytes of memory for each worker; the budget has 32GiB",
        ),
        (
            "slots: 1",
            "resources: {slots: 2}",
            24,
            "resources.slots: pool 'chat' takes 2 of 'slots' for each worker; the budget has 1",
        ),
        (
            "slots: 1",
            "resources: {slot: 1}",
            23,
            "resources.slot: the budget does not name 'slot'; did you mean 'slots'?",
        ),
        (
            "slots: 1, tokens: 2",
            "resources: {x: 1}",
            20,
            "resources.x: the budget does not name 'x'; it names slots, tokens",
        ),
        (
            "memory: 1GiB",
            "resources: {slots: 0}",
            24,
            "resources.slots: the budget does not name 'slots'; write how much there is: `slots: 1` in budget",
        ),
    ],
)
def test_a_pool_that_can_never_fit(wrong: Wrong, budget: str, options: str, column: int, problem: str) -> None:
    text = f"budget: {{{budget}}}\npools:\n  chat:\n    target: a:a\n    {options}\n"
    assert wrong(text) == [f"5:{column}: pools.chat.{problem}"]


def test_without_a_budget_only_counters_are_unknown(wrong: Wrong, load: Load) -> None:
    assert load("pools: {a: {target: 'a:a', gpus: 8, memory: 1TiB}}").pools[0].options.gpus == 8
    [found] = wrong("pools: {a: {target: 'a:a', resources: {slots: 1}}}")
    assert found.endswith("the budget does not name 'slots'; write how much there is: `slots: 1` in budget")


def test_exactly_full_is_not_too_much(load: Load) -> None:
    budget = "budget: {gpus: [4, 7], memory: 3GiB, slots: 2}\npools:\n"
    load(budget + pool("a", min=1, max=9, gpus=2, memory="3GiB", resources="{slots: 2}"))
    load(budget + pool("a", min=1, gpus=1, memory="1GiB") + pool("b", min=1, gpus=1, memory="2GiB"))


def test_pools_that_come_and_go_may_want_more_than_there_is(load: Load) -> None:
    load("budget: {gpus: [0]}\npools:\n" + pool("a", max=4, gpus=1) + pool("b", min=0, gpus=1))


def test_what_the_min_workers_of_others_leave_is_too_little(wrong: Wrong) -> None:
    pools = pool("a", min=1, gpus=1, memory="1.5GiB") + pool("b", gpus=2, memory="1GiB") + pool("c", min=0, gpus=1)
    assert wrong("budget: {gpus: [0, 1], memory: 2GiB}\npools:\n" + pools) == [
        "4:28: pools.b.gpus: pool 'b' takes 2 GPUs for each worker; "
        "the other pools' min workers (a 1 x 1) leave 1 of 2",
        "4:39: pools.b.memory: pool 'b' takes 1GiB of memory for each worker; "
        "the other pools' min workers (a 1 x 1.5GiB) leave 512MiB of 2GiB",
    ]


def test_workers_that_must_all_be_there(wrong: Wrong) -> None:
    budget = "budget:\n  gpus: [0, 1]\n  memory: 32GiB\n  slots: 1\ndefaults: {resources: {slots: 1}}\npools:\n"
    text = (
        budget
        + pool("chat", min=2, max=2, gpus=1, memory="16GiB")
        + pool("embed", min=1, gpus=1, memory="8GiB")
        + pool("rare", min=0, gpus=2, memory="32GiB")
        + pool("unsaid", gpus=2)
        + pool("light", min=1, gpus=0, resources="{slots: 0}")
    )
    assert wrong(text) == [
        "2:9: budget.gpus: the pools' min workers together take 3 GPUs (chat 2 x 1, embed 1 x 1); "
        "the budget has 2: [0, 1]",
        "3:11: budget.memory: the pools' min workers together take 40GiB of memory (chat 2 x 16GiB, embed 1 x 8GiB); "
        "the budget has 32GiB",
        "4:10: budget.slots: the pools' min workers together take 3 of 'slots' (chat 2 x 1, embed 1 x 1); "
        "the budget has 1",
    ]


def test_a_pool_that_never_fits_is_not_counted_once_more(wrong: Wrong) -> None:
    [found] = wrong("budget: {gpus: [0]}\npools:\n" + pool("a", min=1, gpus=2) + pool("b", min=1, gpus=1))
    assert found.startswith("3:")


def test_a_budget_that_is_wrong_is_told_alone(wrong: Wrong) -> None:
    pools = "pools:\n" + pool("a", min=1, gpus=2, memory="1GiB", resources="{slots: 1}")
    assert wrong("budget: 7\n" + pools) == ["1:9: budget: '7' stands where a mapping belongs"]
    [found] = wrong("budget: {gpus: [x], memory: 2GiB, slots: -1}\n" + pools)[1:]
    assert found.startswith("1:42: budget.slots: '-1' is not")


def test_min_and_max(wrong: Wrong, load: Load) -> None:
    more = "min is 3, more than max, which is 2 in line"
    assert wrong("pools:\n  a:\n    target: a:a\n    max: 2\n    min: 3\n") == [f"5:10: pools.a.min: {more} 4"]
    defaults = "defaults:\n  max: 2\npools:\n"
    assert wrong(defaults + pool("a", min=3)) == [f"4:27: pools.a.min: {more} 2"]
    both = "defaults:\n  max: 2\n  min: 3\npools:\n" + pool("a") + pool("b") + pool("c", max=3)
    assert wrong(both) == [f"3:8: defaults.min: {more} 2"]
    assert load("pools:\n" + pool("a", min=3)).pools[0].options.max is None
    [found] = wrong("defaults: {max: 1}\npools:\n" + pool("a", min=3, max="x"))
    assert "pools.a.max" in found


def test_what_sleeps_takes_no_more_than_what_is_awake(wrong: Wrong, load: Load) -> None:
    text = "budget: {slots: 1}\ndefaults:\n  asleep: {memory: 2GiB}\npools:\n"
    assert wrong(text + pool("a", memory="1GiB") + pool("b", memory="2GiB")) == [
        "3:20: defaults.asleep.memory: pool 'a' keeps 2GiB of memory asleep, "
        "more than the 1GiB of memory that it takes awake (line 5)"
    ]
    assert wrong(text + pool("a", resources="{slots: 1}", asleep="{slots: 2}")) == [
        "5:61: pools.a.asleep.slots: pool 'a' keeps 2 of 'slots' asleep, "
        "more than the 1 of 'slots' that it takes awake (line 5)"
    ]
    # The application may say how much it takes awake.
    assert load(text + pool("a")).pools[0].options.asleep == {"memory": 2 << 30}
