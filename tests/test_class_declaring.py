"""What @app.worker takes, and what it refuses with the pool, the reason and what would be right."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import AnyServe, AsyncStream, Context, ModelInferRequest, ModelInferResponse, Stream, Worker
from anyserve.errors import CapabilityError
from anyserve.pool import PoolOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Plain(Worker):
    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        return ModelInferResponse()


def declare(worker: Any = Plain, **options: Any) -> AnyServe:
    """An application with that class."""
    app = AnyServe()
    options.setdefault("capability", {"type": "a"})
    app.worker(**options)(worker)
    return app


def test_the_decorator_leaves_the_class_as_it_is() -> None:
    app = AnyServe()
    assert app.worker(capability={"type": "a"})(Plain) is Plain
    assert app.worker(capability={"type": "b"}, name="other")(Plain) is Plain
    assert [(pool.name, pool.worker_class) for pool in app.pools] == [("Plain", Plain), ("other", Plain)]
    assert app.handlers == ()


def test_functions_are_the_default_pool_with_the_most_gpus_of_them() -> None:
    app = declare()
    app.capability(type="f", gpus=1)(lambda request: ModelInferResponse())
    app.capability(type="g", gpus=3)(lambda request: ModelInferResponse())
    default, plain = app.pools
    assert (default.name, default.worker_class, default.handlers) == ("default", None, app.handlers)
    assert default.options == PoolOptions(gpus=3)
    assert plain.options == PoolOptions()


def test_what_is_not_said_is_left_to_the_agent() -> None:
    [pool] = declare(max=None, memory=None, idle_timeout=None).pools
    assert pool.options == PoolOptions()
    [handler] = pool.handlers
    assert (handler.name, handler.kind, handler.concurrency, handler.gpus) == ("Plain.handle", "unary", 1, 0)


def test_texts_with_units_and_numbers_mean_the_same() -> None:
    [text] = declare(idle_timeout="5m", memory="1.5GiB", max_rss="2g", timeout="1m", max_batch_size=2).pools
    [number] = declare(idle_timeout=300, memory=3 << 29, max_rss=2 << 30, timeout=60, max_batch_size=2).pools
    assert text == number
    assert text.options.resources == {"memory": 3 << 29}


class Sends(Worker):
    def handle(self, request: ModelInferRequest, context: Context, stream: Stream) -> None: ...


class Yields(Worker):
    def handle(self, request: ModelInferRequest) -> Iterator[ModelInferResponse]:
        yield ModelInferResponse()


class Batch(Worker):
    def handle(self, requests: list[ModelInferRequest], contexts: list[Context]) -> list[ModelInferResponse]:
        return []


class Async(Worker):
    async def on_start(self) -> None: ...

    async def on_sleep(self, level: int = 1, *more: int) -> None: ...

    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return ModelInferResponse()


class AsyncSends(Worker):
    async def handle(self, request: ModelInferRequest, context: Context, stream: AsyncStream) -> None: ...


class AsyncYields(Worker):
    async def handle(self, request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
        yield ModelInferResponse()


class Inherits(Async):
    pass


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        return function(*arguments, **keywords)

    return wrapper


class Wrapped(Worker):
    @logged
    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return ModelInferResponse()


@pytest.mark.parametrize(
    ("worker", "options", "form"),
    [
        (Plain, {}, ("unary", False, False)),
        (Sends, {"stream": True}, ("stream", False, True)),
        (Yields, {}, ("generator", False, False)),
        (Batch, {"max_batch_size": 4}, ("batch", False, True)),
        (Async, {}, ("unary", True, True)),
        (AsyncSends, {"stream": True}, ("stream", True, True)),
        (AsyncYields, {"stream": True}, ("generator", True, False)),
        (Inherits, {}, ("unary", True, True)),
        (Wrapped, {}, ("unary", False, True)),
    ],
)
def test_handle_has_any_form_of_a_function(worker: Any, options: dict[str, Any], form: tuple[str, bool, bool]) -> None:
    [pool] = declare(worker, **options).pools
    [handler] = pool.handlers
    assert (handler.kind, handler.is_async, handler.wants_context) == form


@pytest.mark.parametrize(("worker", "sleeps"), [(Plain, False), (Async, True), (Inherits, True)])
def test_a_class_that_overrides_on_sleep_sleeps(worker: Any, sleeps: bool) -> None:
    [pool] = declare(worker).pools
    assert pool.sleeps is sleeps


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"min": 3, "max": 2}, "min=3 is above max=2; lower min or raise max"),
    ({"min": -1}, "min: -1 is not between 0 and 1024"),
    ({"min": 1.5}, "min: 1.5 is not a whole number"),
    ({"min": True}, "min: True is not a whole number"),
    ({"max": 0}, "max: 0 is not between 1 and 1024"),
    ({"max": 1025}, "max: 1025 is not between 1 and 1024"),
    ({"gpus": -1}, "gpus: -1 is not between 0 and 1024"),
    ({"gpus": "2"}, "gpus: '2' is not a whole number"),
    ({"memory": -1}, "memory: -1 is a negative size"),
    ({"memory": "4 apples"}, "memory: '4 apples' is not a size such as"),
    ({"memory": 1.5}, "memory: 1.5 is not a size such as"),
    ({"memory": 2**63}, "memory: 9223372036854775808 is over"),
    ({"memory": 1, "resources": {"memory": 1}}, "memory is given twice, in memory= and in resources="),
    ({"resources": {"memory": "x"}}, "resources: 'memory': 'x' is not a size such as"),
    ({"resources": ["a"]}, r"resources: \['a'\] is not a mapping of names to amounts, such as"),
    ({"resources": {"a b": 1}}, "resources: 'a b' is not the name of a resource"),
    ({"resources": {1: 1}}, "resources: 1 is not the name of a resource"),
    ({"resources": {"gpus": 1}}, "resources: GPUs are handed out by number: say gpus=N"),
    ({"resources": {"slots": -1}}, "resources: 'slots': -1 is not between 0 and"),
    ({"resources": {"slots": "1"}}, "resources: 'slots': '1' is not a whole number"),
    ({"asleep": {"memory": 1}}, "asleep: a worker cannot keep 'memory', which it does not take; it takes nothing"),
    ({"asleep": {"a": 1}, "memory": 1}, "asleep: a worker cannot keep 'a', which it does not take; it takes memory"),
    ({"asleep": {"memory": 2}, "memory": 1}, "asleep: 2 of 'memory' is more than the 1 that it takes awake"),
    ({"asleep": {"gpus": 2}}, "asleep: GPUs are handed out by number: .* a worker that sleeps keeps none"),
    ({"asleep": {"memory": 1}, "memory": 1}, "asleep: its workers never sleep; Plain needs an on_sleep for that"),
    ({"idle_timeout": 0}, "idle_timeout: 0 is not a positive duration .*, nor 'never'"),
    ({"idle_timeout": "soon"}, "idle_timeout: 'soon' is not a duration such as .*, nor 'never'"),
    ({"idle_timeout": [1]}, r"idle_timeout: \[1\] is not a duration such as .*, nor 'never'"),
    ({"start_timeout": "never"}, "start_timeout: 'never' is not a duration"),
    ({"start_timeout": -1}, "start_timeout: -1 is not a positive duration"),
    ({"stop_timeout": "0s"}, "stop_timeout: '0s' is not a positive duration"),
    ({"min_residence": "-1s"}, "min_residence: '-1s' is not a duration"),
    ({"heartbeat_timeout": 1}, "heartbeat_timeout: 1 is under 2 s; a heartbeat comes every second"),
    ({"eviction_cost": -0.5}, "eviction_cost: -0.5 is not between 0 and"),
    ({"eviction_cost": float("nan")}, "eviction_cost: nan is not between 0 and"),
    ({"eviction_cost": "high"}, "eviction_cost: 'high' is not a number"),
    ({"pinned": "yes"}, "pinned: 'yes' is neither true nor false"),
    ({"pinned": 1}, "pinned: 1 is neither true nor false"),
    ({"max_rss": "much"}, "max_rss: 'much' is not a size such as"),
    ({"max_requests": -1}, "max_requests: -1 is not between 0 and"),
    ({"preload": "numpy"}, r"preload: 'numpy' is not a list of modules, such as \['numpy'\]"),
    ({"preload": ["numpy", "a b"]}, "preload: 'a b' is not the name of a module"),
    ({"preload": [1]}, "preload: 1 is not the name of a module"),
    ({"idel_timeout": 1}, r"there is no option 'idel_timeout'; did you mean 'idle_timeout'\?"),
    ({"gpu": 1}, r"there is no option 'gpu'; did you mean 'gpus'\?"),
    ({"zzz": 1}, "there is no option 'zzz'; there are memory, min, max, gpus,"),
    ({"timeout": "0s"}, "timeout: '0s' is not a positive duration"),
    ({"slo": "fast"}, "slo: 'fast' is not a duration"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_an_option_that_is_wrong_is_refused_with_the_pool(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^pool 'Plain': {message}"):
        declare(**options)


HANDLER_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"timeout": -1}, "timeout=-1 of pool 'Plain' is not a positive number of seconds"),
    ({"concurrency": 0}, "concurrency=0 of pool 'Plain' is not between 1 and 1024"),
    ({"priority": 10}, "priority=10 of pool 'Plain' is not between 1 and 9"),
    ({"max_batch_delay": "5ms"}, "max_batch_delay of pool 'Plain' needs a max_batch_size above 1"),
    ({"stream": True, "max_batch_size": 2}, "pool 'Plain': stream=True and max_batch_size=2 do not go together"),
    ({"inputs": [("x", "FP8", [1])]}, "handler Plain.handle: datatype 'FP8' of 'x' is unknown"),
]


@pytest.mark.parametrize(("options", "message"), HANDLER_OPTIONS)
def test_the_options_of_a_handler_have_the_same_bounds(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        declare(**options)


class NotAWorker:
    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        return ModelInferResponse()


def function(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


class NoHandle(Worker):
    pass


class StaticHandle(Worker):
    @staticmethod
    def handle(request: ModelInferRequest) -> ModelInferResponse:
        return ModelInferResponse()


class HandleOfNothing(Worker):
    def handle(self) -> ModelInferResponse:
        return ModelInferResponse()


class HandleOfThree(Worker):
    def handle(self, request: ModelInferRequest, context: Context, more: int) -> ModelInferResponse:
        return ModelInferResponse()


class Abstract(Plain, ABC):
    @abstractmethod
    def load(self) -> None: ...


class NeedsArguments(Plain):
    def __init__(self, model: str) -> None: ...


class HasDefaults(Plain):
    def __init__(self, model: str = "llama") -> None: ...


class SleepsWithoutLevel(Plain):
    def on_sleep(self) -> None: ...  # type: ignore[override]


class StartsWithArguments(Plain):
    def on_start(self, model: str) -> None: ...  # type: ignore[override]


class AsyncHook(Plain):
    async def on_wake(self) -> None: ...


class HookWithoutSelf(Plain):
    def on_wake() -> None: ...  # type: ignore[misc]


class HandleWithoutSelf(Worker):
    def handle() -> None: ...  # type: ignore[misc]


class GeneratorHook(Plain):
    def on_stop(self) -> Any:
        yield


class HookIsNoMethod(Plain):
    on_start = 3  # type: ignore[assignment]


CLASSES: list[tuple[Any, str]] = [
    (NotAWorker, "is for classes derived from anyserve.Worker, which NotAWorker is not"),
    (function, "is for classes derived from anyserve.Worker, which function is not"),
    (Plain(), "is for classes derived from anyserve.Worker, which <.*> is not"),
    (Worker, "is for classes derived from anyserve.Worker, which Worker is not"),
    (NoHandle, r"^pool 'NoHandle': NoHandle has no method handle\(self, request, context\)"),
    (StaticHandle, "^pool 'StaticHandle': StaticHandle.handle is a staticmethod; it must be a method of the instance"),
    (HandleOfNothing, r"^pool 'HandleOfNothing': handler HandleOfNothing.handle\(\).* must take \(request\) or"),
    (HandleOfThree, r"^pool 'HandleOfThree': handler HandleOfThree.handle\(request.* must take \(request\) or"),
    (Abstract, "^pool 'Abstract': Abstract is abstract; it does not define load"),
    (
        NeedsArguments,
        r"^pool 'NeedsArguments': NeedsArguments.__init__\(self, model: 'str'\).* cannot be called without arg",
    ),
    (SleepsWithoutLevel, r"SleepsWithoutLevel.on_sleep\(self\).* must be on_sleep\(self, level\)"),
    (StartsWithArguments, r"StartsWithArguments.on_start\(self, model: 'str'\).* must be on_start\(self\)"),
    (HookWithoutSelf, r"HookWithoutSelf.on_wake\(\).* must be on_wake\(self\)"),
    (HandleWithoutSelf, r"HandleWithoutSelf.handle\(\).* must be handle\(self, request, context\)"),
    (AsyncHook, "AsyncHook.on_wake is async and handle is not; there is no event loop to run it"),
    (GeneratorHook, "GeneratorHook.on_stop is a generator; nothing would run it"),
    (HookIsNoMethod, "HookIsNoMethod.on_start is a int; it must be a method of the instance"),
]


@pytest.mark.parametrize(("worker", "message"), CLASSES)
def test_a_class_that_cannot_be_served_is_refused(worker: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        declare(worker)


def test_arguments_that_have_defaults_are_no_hindrance() -> None:
    declare(HasDefaults)


NAMES = ["", "a b", "-a", ".a", "ä", "a" * 65, "a/b", "default"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_allowed_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name!r} cannot be the name of a pool"):
        declare(name=name)


@pytest.mark.parametrize("name", ["a", "0", "a.b-c_D", "a" * 64])
def test_a_name_that_is_allowed_is_kept(name: str) -> None:
    assert [pool.name for pool in declare(name=name).pools] == [name]


def test_a_name_that_is_taken_is_refused() -> None:
    app = declare()
    with pytest.raises(ValueError, match="there is a pool 'Plain' already; say name= to give this one another name"):
        app.worker(capability={"type": "b"})(Plain)


CAPABILITIES: list[tuple[dict[str, Any], str]] = [
    ({"capability": None}, r"say capability= or capabilities=, such as capabilities=\[\{\"type\": \"chat\"\}\]"),
    ({"capabilities": [{"type": "b"}]}, "say capability= or capabilities=, not both"),
    ({"capability": None, "capabilities": []}, "capabilities= is empty; it needs at least one"),
    (
        {"capability": None, "capabilities": {"type": "b"}},
        r"capabilities=\{.*\} is not a list of mappings; for one, say",
    ),
    ({"capability": None, "capabilities": 3}, "capabilities=3 is not a list of mappings"),
    ({"capability": None, "capabilities": ["chat"]}, "the capability 'chat' is not a mapping such as"),
    ({"capability": "chat"}, "the capability 'chat' is not a mapping such as"),
    ({"capability": {}}, "a capability needs at least one pair|at least one"),
    ({"capability": {"a b": 1}}, ".*key 'a b' is not allowed"),
    ({"capability": {"a": None}}, ".*capability key 'a' is a NoneType"),
    ({"capability": None, "capabilities": [{"a": 1}, {"A": "1"}]}, r"\{a: 1\} is declared twice"),
]


@pytest.mark.parametrize(("options", "message"), CAPABILITIES)
def test_capabilities_that_are_wrong_are_refused_with_the_pool(options: dict[str, Any], message: str) -> None:
    with pytest.raises((CapabilityError, TypeError), match=f"^pool 'Plain': .*({message})"):
        declare(**options)


def test_a_capability_is_declared_once_in_the_whole_application() -> None:
    app = AnyServe()
    app.capability(type="f")(function)
    app.worker(capability={"type": "c"})(Plain)
    with pytest.raises(
        CapabilityError, match=r"\{type: f\} is served by function already, pool 'x' cannot serve it too"
    ):
        app.worker(capability={"type": "f"}, name="x")(Plain)
    with pytest.raises(CapabilityError, match=r"\{type: c\} is served by pool 'Plain' already, pool 'x' cannot"):
        app.worker(capabilities=[{"type": "d"}, {"type": "c"}], name="x")(Plain)
    with pytest.raises(CapabilityError, match=r"\{type: c\} is served by pool 'Plain' already, function cannot"):
        app.capability(type="c")(function)
    assert [pool.name for pool in app.pools] == ["default", "Plain"]
