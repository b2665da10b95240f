"""Which handler a request reaches: by metadata, by parameters, or by its model name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from anyserve import Client
from anyserve.errors import CapabilityError, InvalidArgumentError, NotFoundError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = str | int | float | bool


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.routes:app") as server:
        yield server.wait_ready()


@pytest.fixture
def stub(server: Server) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def by(client: Client, model_name: str = "", **options: Any) -> str:
    """The name of the handler that answers."""
    [name] = client.infer(model_name, **options)["by"]
    return str(name, "utf-8")


def infer(stub: Any, metadata: Mapping[str, str], parameters: Mapping[str, Value], model_name: str = "") -> str:
    """The same, with metadata."""
    request = service_pb2.ModelInferRequest(model_name=model_name)
    fields = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    for name, value in parameters.items():
        setattr(request.parameters[name], fields[type(value)], value)
    [content] = stub.ModelInfer(request, metadata=list(metadata.items())).raw_output_contents
    return str(content[4:], "utf-8")


def test_the_agent_says_what_it_serves(server: Server) -> None:
    assert "{model: shared, type: chat}" in server.served
    assert "{max_len: 1180591620717411303424, timeout: long, type: odd.key_1}" in server.served


def test_a_name_is_a_model_before_it_is_a_type(client: Client) -> None:
    assert by(client, "shared") == "model shared"
    assert by(client, capability={"type": "shared"}) == "type shared"
    assert by(client, "chat") == "model shared"


@pytest.mark.parametrize(("version", "name"), [("1", "version 1"), ("2.5", "version 2.5")])
def test_a_version_chooses_among_what_the_name_stands_for(client: Client, version: str, name: str) -> None:
    assert by(client, "versioned", model_version=version) == name


def test_without_a_version_any_will_do(client: Client) -> None:
    assert by(client, "versioned") in {"version 1", "version 2.5"}


def test_a_version_that_nothing_has_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError, match=r"\{type: versioned, version: 3\}"):
        by(client, "versioned", model_version="3")


EQUAL: list[tuple[str, list[Value], str]] = [
    ("flag", [True, "true"], "flag"),
    ("number", [3, 3.0, "3"], "number"),
    ("ratio", [0.5, "0.5"], "ratio"),
]


@pytest.mark.parametrize(
    ("key", "value", "name"), [(key, value, name) for key, values, name in EQUAL for value in values]
)
def test_values_are_equal_by_their_text(client: Client, stub: Any, key: str, value: Value, name: str) -> None:
    assert by(client, capability={key: value}) == name
    assert infer(stub, {}, {f"cap.{key}": value}) == name


def test_an_unsigned_parameter_is_an_integer_too(stub: Any) -> None:
    request = service_pb2.ModelInferRequest()
    request.parameters["cap.number"].uint64_param = 3
    assert stub.ModelInfer(request).raw_output_contents[0].endswith(b"number")


@pytest.mark.parametrize("value", [1, "1", "True", 1.0])
def test_values_of_another_text_differ(client: Client, value: Value) -> None:
    with pytest.raises(NotFoundError):
        by(client, capability={"flag": value})


def test_keys_are_equal_in_any_case_and_with_dashes(client: Client, stub: Any) -> None:
    for key in ("max_len", "MAX_LEN", "Max-Len"):
        assert by(client, capability={key: 2**70}) == "odd"
        assert infer(stub, {}, {f"cap.{key}": str(2**70)}) == "odd"
    assert infer(stub, {"x-cap-max-len": str(2**70)}, {}) == "odd"
    assert infer(stub, {"x-cap-max_len": str(2**70)}, {}) == "odd"


def test_every_pair_of_a_query_must_match(client: Client) -> None:
    assert by(client, capability={"type": "typed", "number": 3}) == "number"
    with pytest.raises(NotFoundError):
        by(client, capability={"type": "typed", "number": 3, "flag": True})


def test_metadata_comes_before_parameters_and_these_before_the_name(stub: Any) -> None:
    assert infer(stub, {}, {}, "chat") == "model shared"
    assert infer(stub, {}, {"cap.number": 3}, "chat") == "number"
    assert infer(stub, {"x-cap-ratio": "0.5"}, {"cap.number": 3}, "chat") == "ratio"
    # What came first is all that counts: nothing is added by the others.
    assert infer(stub, {"x-cap-type": "typed", "x-cap-flag": "true"}, {"cap.number": 3}, "nothing here") == "flag"


def test_the_version_counts_only_with_the_name(client: Client) -> None:
    assert by(client, "versioned", model_version="9", capability={"number": 3}) == "number"


@pytest.mark.parametrize("options", [{"model_name": "embed"}, {"capability": {"type": "embed"}}])
def test_an_unknown_capability_is_not_found_and_told_what_exists(client: Client, options: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError) as failure:
        by(client, **options)
    message = str(failure.value)
    assert message.startswith("no capability matches {type: embed}; served here: {")
    assert message.endswith("and 3 more")
    assert message.count("{") == 1 + 5


def test_no_name_at_all_is_an_invalid_argument(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match=r"names no capability; give a model name, cap\.\* .* or x-cap-\*"):
        by(client)


@pytest.mark.parametrize("key", ["", "1a", "a b", "é", "_x", "k" * 65])
def test_an_illegal_key_is_an_invalid_argument_that_names_it(client: Client, key: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"key '{key}' is not allowed"):
        by(client, "shared", parameters={f"cap.{key}": "x"})
    with pytest.raises(CapabilityError, match=f"key '{key}' is not allowed"):
        by(client, capability={key: "x"})


def test_a_name_too_long_is_an_invalid_argument(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="'type' is 257 bytes, over the limit of 256"):
        by(client, "m" * 257)


@pytest.mark.parametrize("key", ["", "1a", "_x", "k" * 65])
def test_an_illegal_key_of_metadata_is_an_invalid_argument_that_names_it(stub: Any, key: str) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        infer(stub, {f"x-cap-{key}": "x"}, {}, "shared")
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"key '{key}' is not allowed" in failure.value.details()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"cap.a-b": 1, "cap.a_b": 2}, "'a_b' is there twice"),
        ({"cap.a": "v" * 257}, "'a' is 257 bytes, over the limit of 256"),
        ({f"cap.k{index}": 1 for index in range(33)}, "33 capability pairs are over the limit of 32"),
        ({"cap.a": float("nan")}, "'a' is not a finite number"),
    ],
)
def test_a_query_that_is_not_allowed_is_an_invalid_argument(
    client: Client, pairs: dict[str, Value], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        by(client, "shared", parameters=pairs)


def test_metadata_given_twice_is_an_invalid_argument(stub: Any) -> None:
    request = service_pb2.ModelInferRequest()
    with pytest.raises(grpc.RpcError) as failure:
        stub.ModelInfer(request, metadata=[("x-cap-flag", "true"), ("x-cap-flag", "false")])
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "'flag' is there twice" in failure.value.details()


@pytest.mark.parametrize("capability", [{"a": None}, {"a": [1]}, {1: "a"}])
def test_a_client_refuses_a_capability_that_cannot_travel(client: Client, capability: dict[Any, Any]) -> None:
    with pytest.raises(TypeError, match="capability key"):
        by(client, "shared", capability=capability)


def test_a_client_refuses_an_empty_capability(client: Client) -> None:
    with pytest.raises(CapabilityError, match="at least one"):
        by(client, "shared", capability={})
