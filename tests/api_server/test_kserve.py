"""The KServe v2 REST API of the fleet, as tritonclient speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from tests.api_server.conftest import StartApiServer
from tests.api_server.process import ApiServer
from tests.conftest import Serve
from tests.server import Server


@pytest.fixture(scope="module")
def shared_api(basic: Server) -> Iterator[ApiServer]:
    """One that knows an agent of examples/basic, which a model name stands for too."""
    with ApiServer() as server:
        server.put("a", {"type": "echo"}, {"type": "add"}, endpoint=basic.address)
        yield server


@pytest.fixture
def api(shared_api: ApiServer) -> ApiServer:
    return shared_api


@pytest.fixture
def client(api: ApiServer) -> Iterator[Any]:
    with triton.InferenceServerClient(f"{api.host}:{api.port}") as client:
        yield client


def tensor(name: str, array: Any, datatype: str, *, binary: bool) -> Any:
    given = triton.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_inference(client: Any, binary_in: bool, binary_out: bool) -> None:
    a, b = np.array([1.5, 2.0]), np.array([0.5, 1e300])
    inputs = [tensor("a", a, "FP64", binary=binary_in), tensor("b", b, "FP64", binary=binary_in)]
    outputs = [triton.InferRequestedOutput("sum", binary_data=binary_out)]
    result = client.infer("add", inputs, outputs=outputs, request_id="7")
    np.testing.assert_array_equal(result.as_numpy("sum"), a + b)
    assert result.get_response()["id"] == "7"


def test_bytes_that_are_no_text(client: Any) -> None:
    array = np.array([b"\xff\x00", b"b"], dtype=object)
    result = client.infer("echo", [tensor("x", array, "BYTES", binary=True)])
    assert result.as_numpy("output_x").tolist() == [b"\xff\x00", b"b"]


def test_large_binary_tensors(client: Any) -> None:
    array = np.arange(2_000_000, dtype=np.float32)
    result = client.infer("echo", [tensor("x", array, "FP32", binary=True)])
    np.testing.assert_array_equal(result.as_numpy("output_x"), array)


def test_metadata_and_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("add")
    assert not client.is_model_ready("nothing")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("add")
    assert metadata["inputs"][0] == {"name": "a", "datatype": "FP64", "shape": [-1]}
    assert metadata["outputs"] == [{"name": "sum", "datatype": "FP64", "shape": [-1]}]


def test_errors(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match=r"no capability matches \{type: nothing\}") as caught:
        client.infer("nothing", [tensor("x", np.zeros(1), "FP64", binary=True)])
    assert caught.value.status() == "404"
    with pytest.raises(triton.InferenceServerException, match="they must be equal"):
        client.infer(
            "add", [tensor("a", np.zeros(1), "FP64", binary=True), tensor("b", np.zeros(2), "FP64", binary=True)]
        )


def test_compressed_bodies_are_refused(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="gzip"):
        client.infer("echo", [tensor("x", np.zeros(1), "FP64", binary=True)], request_compression_algorithm="gzip")


def test_a_version_is_part_of_what_is_wanted(start_api: StartApiServer, basic: Server) -> None:
    api = start_api()
    api.put("a", {"type": "echo"}, endpoint=basic.address)
    body = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [1]}]}
    refused = api.http.post("/v2/models/echo/versions/3/infer", json=body)
    assert refused.status_code == 404
    assert "{type: echo, version: 3}" in refused.json()["error"]
    assert api.http.get("/v2/models/echo/versions/3/ready").status_code == 404
    assert api.http.get("/v2/models/echo/ready").status_code == 200


def test_a_name_is_a_model_before_it_is_a_type(start_api: StartApiServer, basic: Server) -> None:
    api = start_api()
    api.put("a", {"type": "echo"}, endpoint=basic.address)
    api.put("b", {"model": "echo"}, endpoint="127.0.0.1:9")
    body = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [1]}]}
    assert api.http.post("/v2/models/echo/infer", json=body).status_code == 503
    by_header = api.http.post("/v2/models/echo/infer", json=body, headers={"x-cap-type": "echo"})
    assert by_header.status_code == 200
    assert by_header.json()["outputs"][0]["data"] == [1]


def test_generate(api: ApiServer) -> None:
    answer = api.http.post("/v2/models/echo/generate", json={"text": "hello", "count": 3})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["output_text"], answer.json()["output_count"]) == ("hello", 3)


def test_generate_stream(start_api: StartApiServer, serve: Serve) -> None:
    server, api = serve("tests.apps.streaming:app"), start_api()
    api.put("s", {"type": "yielded"}, endpoint=server.address)
    with api.events("POST", "/v2/models/yielded/generate_stream", json={"N": 3}) as events:
        assert [events.next()[1]["SQUARE"] for _ in range(3)] == [0, 1, 4]
        assert events.ended()
    refused = api.http.post("/v2/models/nothing/generate_stream", json={"N": 3})
    assert refused.status_code == 404


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "5000"])
def test_header_lengths_that_are_none(api: ApiServer, length: str) -> None:
    headers = {"inference-header-content-length": length}
    answer = api.http.post("/v2/models/echo/infer", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]
