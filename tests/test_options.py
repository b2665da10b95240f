"""The options of @app.capability that say how its requests are scheduled: their bounds, and what goes together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from anyserve import AnyServe, ModelInferRequest, ModelInferResponse
from anyserve.cli import main

WHOLE = {"concurrency": (1, 1024), "priority": (1, 9), "max_queue_size": (1, 2**32 - 1), "max_batch_size": (1, 1024)}
"""The options that are whole numbers, with their bounds."""

SECONDS = ["timeout", "slo", "max_batch_delay"]


def handler(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


async def coroutine(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


def generator(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    yield ModelInferResponse()


async def async_generator(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    yield ModelInferResponse()


def declare(**options: Any) -> Any:
    """Declares the plain handler."""
    app = AnyServe()
    app.capability(type="a", **options)(handler)
    return app.handlers[0]


def test_what_was_declared_is_kept() -> None:
    declared = declare(
        slo=0.5, priority=2, max_queue_size=7, concurrency=3, timeout=4, max_batch_size=8, max_batch_delay=0.01
    )
    assert (declared.slo, declared.priority, declared.max_queue_size, declared.concurrency) == (0.5, 2, 7, 3)
    assert (declared.timeout, declared.max_batch_size, declared.max_batch_delay) == (4, 8, 0.01)


def test_the_defaults() -> None:
    declared = declare()
    assert (declared.slo, declared.priority, declared.max_queue_size, declared.timeout) == (None,) * 4
    assert (declared.concurrency, declared.max_batch_size, declared.max_batch_delay) == (1, 1, 0)


@pytest.mark.parametrize(
    ("function", "options", "concurrency"),
    [
        (handler, {}, 1),
        (generator, {}, 1),
        (coroutine, {}, 32),
        (async_generator, {}, 32),
        (coroutine, {"max_batch_size": 2}, 1),
        (coroutine, {"concurrency": 1}, 1),
        (coroutine, {"concurrency": 1024}, 1024),
        (coroutine, {"concurrency": 3, "max_batch_size": 2}, 3),
    ],
)
def test_async_handlers_run_many_at_once(function: Callable[..., Any], options: Any, concurrency: int) -> None:
    app = AnyServe()
    app.capability(type="a", **options)(function)
    assert app.handlers[0].concurrency == concurrency


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (low, high) in WHOLE.items() for value in (low - 1, high + 1, -(2**70))]
)
def test_a_whole_number_out_of_bounds_is_refused_with_them(name: str, value: int) -> None:
    low, high = WHOLE[name]
    with pytest.raises(ValueError, match=rf"^{name}={value} of \{{type: a\}} is not between {low} and {high}$"):
        declare(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, bounds in WHOLE.items() for value in bounds if name != "max_batch_size"]
)
def test_a_whole_number_at_its_bounds_is_taken(name: str, value: int) -> None:
    assert getattr(declare(**{name: value}), name) == value


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", ["1", 1.0, True, [1], float("nan")])
def test_what_is_no_whole_number_is_a_type_error(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}=.* of \{{type: a\}} is not a whole number$"):
        declare(**{name: value})


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [-1, -1e-9, float("nan"), float("-inf")])
def test_a_negative_time_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name}=.* of \{{type: a\}} is not a (positive )?number of seconds"):
        declare(**{name: value}, max_batch_size=2)


@pytest.mark.parametrize("name", ["timeout", "slo"])
def test_a_time_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}=0 of \{{type: a\}} is not a positive number of seconds$"):
        declare(**{name: 0})


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [float("inf"), 1e30])
def test_a_time_without_end_is_refused(name: str, value: float) -> None:
    # To an agent it would be no time at all.
    with pytest.raises(ValueError, match=rf"^{name}="):
        declare(**{name: value}, max_batch_size=2)


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", ["1", [1], True, 1j])
def test_a_time_that_is_no_number_is_a_type_error(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}=.* of \{{type: a\}} is not a number of seconds"):
        declare(**{name: value}, max_batch_size=2)


def test_a_delay_needs_a_batch() -> None:
    with pytest.raises(ValueError, match=r"^max_batch_delay of \{type: a\} needs a max_batch_size above 1$"):
        declare(max_batch_delay=0.1)
    assert declare(max_batch_delay=0).max_batch_delay == 0


def test_streams_have_no_batches() -> None:
    with pytest.raises(ValueError, match=r"\{type: a\}: stream=True and max_batch_size=2 do not go together"):
        declare(stream=True, max_batch_size=2)
    for function in (generator, async_generator):
        with pytest.raises(TypeError, match="is a generator; with max_batch_size it must return a list of responses"):
            AnyServe().capability(type="a", max_batch_size=2)(function)


def test_a_batch_handler_takes_requests_and_contexts() -> None:
    app = AnyServe()

    @app.capability(type="one", max_batch_size=2)
    def one(requests: list[ModelInferRequest]) -> list[ModelInferResponse]:
        return []

    @app.capability(type="two", max_batch_size=2)
    def two(requests: list[ModelInferRequest], contexts: Any = None) -> list[ModelInferResponse]:
        return []

    @app.capability(type="other", max_batch_size=2)
    def other(requests: list[ModelInferRequest], size: int = 3) -> list[ModelInferResponse]:
        return []

    assert [(declared.kind, declared.wants_context) for declared in app.handlers] == [
        ("batch", False),
        ("batch", True),
        ("batch", False),
    ]
    for wrong in (lambda: None, lambda a, b, c: None):
        with pytest.raises(TypeError, match="must take"):
            AnyServe().capability(type="a", max_batch_size=2)(wrong)


@pytest.mark.parametrize("name", ["slo", "priority", "concurrency", "max_batch_size", "stream"])
def test_the_names_of_options_may_be_keys(name: str) -> None:
    app = AnyServe()
    app.capability(capability={name: "value"})(handler)
    assert app.handlers[0].capability.pairs == {name: "value"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--http-port", "65536"], "'65536' is not a port from 0 to 65535"),
        (["--http-port", "none"], "'none' is not a port"),
        (["--metrics-port", "65536"], "'65536' is neither a port from 0 to 65535 nor none"),
        (["--metrics-port", "-1"], "'-1' is neither a port"),
        (["--metrics-port", "None"], "'None' is neither a port"),
        (["--metrics-port", ""], "'' is neither a port"),
        (["--metrics-port"], "expected one argument"),
        (["--log-format", "xml"], "invalid choice: 'xml'"),
        (["--log-format", "JSON"], "invalid choice: 'JSON'"),
        (["--stream-stall-timeout", "0"], "'0' is not a positive number of seconds"),
        (["--stream-stall-timeout", "-1"], "'-1' is not a positive number of seconds"),
        (["--stream-stall-timeout", "inf"], "'inf' is not a positive number of seconds"),
        (["--stream-stall-timeout", "a minute"], "'a minute' is not a positive number of seconds"),
        (["--max-queue-bytes", "1023KiB"], "'1023KiB' is not at least 1MiB"),
        (["--max-queue-bytes", "much"], "'much' is not a size such as 1048576, 64MiB or 1g"),
        (["--max-queue-size", "0"], "'0' is not a whole number from 1 on"),
    ],
)
def test_a_bad_option_of_the_command_is_exit_code_2_and_the_reason(
    capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "a:b", *arguments])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
