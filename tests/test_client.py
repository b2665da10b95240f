"""The blocking and the asyncio client: what goes out and what comes back."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anyserve
import anyserve.worker.client
import numpy as np
import psutil
import pytest
from anyserve import AsyncClient, Client, InferResult, Tensor
from anyserve.errors import NotFoundError

from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.inspecting:app") as server:
        yield server.wait_ready()


def test_the_example_of_the_documentation(basic: Server) -> None:
    client = Client(endpoint=basic.address)
    result = client.infer("echo", {"text": ["hello"]})
    assert dict(result) == {"output_text": [b"hello"]}
    client.close()


def test_the_client_is_known_by_three_names() -> None:
    assert anyserve.worker.client.Client is anyserve.Client is anyserve.client.Client
    assert anyserve.worker.client.AsyncClient is anyserve.AsyncClient is anyserve.client.AsyncClient


def test_add_sums_arrays(basic: Server) -> None:
    with Client(basic.address) as client:
        result = client.infer("add", {"a": [1.0, 2.0], "b": [0.5, 0.25]})
        assert result["sum"].tolist() == [1.5, 2.25]


def test_a_result_is_a_mapping_of_its_outputs(basic: Server) -> None:
    with Client(basic.address) as client:
        result = client.infer("echo", {"b": [1], "a": ["x"]})
    assert isinstance(result, InferResult)
    assert list(result) == ["output_b", "output_a"]
    assert len(result) == 2
    assert "output_a" in result
    assert result.get("output_c") is None
    with pytest.raises(KeyError):
        result["output_c"]
    assert repr(result) == "InferResult({'output_b': array([1]), 'output_a': [b'x']})"


def test_only_the_requested_outputs_come_back_in_their_order(basic: Server) -> None:
    with Client(basic.address) as client:
        result = client.infer("echo", {"a": [1], "b": [2], "c": [3]}, outputs=["output_c", "output_a"])
        assert {name: np.asarray(value).tolist() for name, value in result.items()} == {
            "output_c": [3],
            "output_a": [1],
        }
        assert list(result) == ["output_c", "output_a"]


def test_the_request_id_comes_back(basic: Server) -> None:
    with Client(basic.address) as client:
        assert client.infer("echo", {"x": [1]}, request_id="römisch-1").response.id == "römisch-1"


def test_a_response_that_names_nothing_has_the_names_of_its_request(client: Client) -> None:
    response = client.infer("nothing", request_id="17").response
    assert (response.model_name, response.id, response.outputs) == ("nothing", "17", [])


def test_a_response_keeps_the_names_that_its_handler_gave(client: Client) -> None:
    response = client.infer("named", request_id="17").response
    assert (response.model_name, response.model_version, response.id) == ("the model", "7", "the id")


def test_a_handler_sees_the_names_of_the_request(client: Client) -> None:
    result = client.infer(
        "named", capability={"type": "named"}, model_version="3", request_id="17", outputs=["request"]
    )
    assert result["request"] == [b"named", b"3", b"17"]
    assert client.infer("named", outputs=["wanted", "request"])["wanted"] == [b"wanted", b"request"]


PARAMETERS: dict[str, bool | int | float | str] = {
    "yes": True,
    "no": False,
    "small": -(2**63),
    "large": 2**64 - 1,
    "one": 1,
    "float": 1.0,
    "tiny": 5e-324,
    "text": "grüße",
    "empty": "",
}


def test_parameters_travel_both_ways_with_their_types(client: Client) -> None:
    tensor = Tensor("x", [1], parameters=PARAMETERS)
    result = client.infer("parameters", {"x": tensor}, parameters=PARAMETERS)
    assert result["seen"] == [repr(dict(sorted(PARAMETERS.items()))).encode()]
    for received in (result.response.parameters, result.response.get_output("x").parameters):
        assert received == PARAMETERS
        assert {name: type(value) for name, value in received.items()} == {
            name: type(value) for name, value in PARAMETERS.items()
        }


def test_parameters_may_be_set_on_a_response(client: Client) -> None:
    response = client.infer("added-parameters").response
    assert response.parameters == {"tokens": 7}
    assert response.get_output("out").parameters == {"unit": "s"}


@pytest.mark.parametrize(
    ("parameters", "error"),
    [({"x": None}, TypeError), ({"x": [1]}, TypeError), ({1: 2}, TypeError), ({"x": 2**64}, OverflowError)],
)
def test_a_parameter_of_no_type_that_can_travel_is_refused(
    client: Client, parameters: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.infer("parameters", parameters=parameters)


def test_a_capability_counts_and_not_the_model_name(client: Client) -> None:
    result = client.infer("no such model", {"x": [1]}, capability={"type": "context", "flavor": 1})
    assert result["capability"] == [b"flavor=1", b"type=context"]


def test_input_names_are_those_of_the_mapping(basic: Server) -> None:
    with Client(basic.address) as client:
        assert list(client.infer("echo", {"x": Tensor("y", [1])})) == ["output_x"]


def test_readiness(basic: Server) -> None:
    with Client(basic.address) as client:
        assert client.is_ready()
        assert client.is_ready("echo", timeout=30)
        assert not client.is_ready("nothing here")


def test_a_request_in_time_is_answered(client: Client) -> None:
    result = client.infer("context", timeout=60)
    assert np.asarray(result["limited"]).tolist() == [True]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_is_no_time_is_refused(client: Client, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        client.infer("nothing", timeout=timeout)


@pytest.mark.parametrize("timeout", [1e9, 1e15])
def test_a_timeout_may_be_long(client: Client, timeout: float) -> None:
    client.infer("nothing", timeout=timeout)


def test_a_closed_client_says_so(basic: Server) -> None:
    with Client(basic.address) as client:
        client.infer("echo", {"x": [1]})
    with pytest.raises(RuntimeError, match="closed"):
        client.infer("echo", {"x": [1]})
    with pytest.raises(RuntimeError, match="closed"):
        client.is_ready()
    client.close()


def test_the_endpoint_is_known_after_closing(basic: Server) -> None:
    with Client(f"http://{basic.address}") as client:
        pass
    assert client.endpoint == basic.address


def test_a_closed_client_lets_go_of_its_connection(basic: Server) -> None:
    def connections() -> int:
        found = psutil.Process(basic.process.pid).net_connections("tcp")
        return sum(connection.status == psutil.CONN_ESTABLISHED for connection in found)

    with Client(basic.address) as client:
        client.infer("echo", {"x": [1]})
        assert connections() > 0
    eventually(lambda: connections() == 0, "the connection is gone")


def test_threads_share_a_client(basic: Server) -> None:
    with Client(basic.address) as client, ThreadPoolExecutor(16) as threads:

        def call(number: int) -> object:
            return np.asarray(client.infer("echo", {"x": [number]})["output_x"]).tolist()

        assert list(threads.map(call, range(400))) == [[number] for number in range(400)]


async def test_the_asyncio_client_is_the_twin(basic: Server) -> None:
    async with AsyncClient(basic.address) as client:
        assert client.endpoint == basic.address
        result = await client.infer("add", {"a": [1.0], "b": [2.0]}, request_id="17", timeout=60, outputs=["sum"])
        assert result.response.id == "17"
        assert np.asarray(result["sum"]).tolist() == [3.0]
        with pytest.raises(NotFoundError):
            await client.infer("nothing here")
    with pytest.raises(RuntimeError, match="closed"):
        await client.infer("echo", {"x": [1]})


async def test_the_asyncio_client_has_many_requests_under_way(basic: Server) -> None:
    async with AsyncClient(basic.address) as client:
        # More than a connection has streams.
        results = await asyncio.gather(*(client.infer("echo", {"x": [number]}) for number in range(3000)))
    assert [np.asarray(result["output_x"]).tolist() for result in results] == [[number] for number in range(3000)]


def test_the_asyncio_client_outlives_an_event_loop(basic: Server) -> None:
    client = AsyncClient(basic.address)
    for _ in range(3):
        assert asyncio.run(client.infer("echo", {"x": ["a"]}))["output_x"] == [b"a"]


async def test_the_asyncio_client_passes_everything(server: Server) -> None:
    async with AsyncClient(server.address) as client:
        result = await client.infer(
            "whatever", {"x": np.ones(1 << 18)}, capability={"type": "parameters"}, parameters=PARAMETERS
        )
        assert result.response.parameters == {**PARAMETERS, "cap.type": "parameters"}
        np.testing.assert_array_equal(np.asarray(result["x"]), np.ones(1 << 18))
