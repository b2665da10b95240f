"""Clients that find replicas by what they offer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import numpy as np
import pytest
from anyserve import AsyncClient
from anyserve.cli import main
from anyserve.errors import CapabilityError, NotFoundError, UnavailableError
from anyserve.worker.client import Client

if TYPE_CHECKING:
    from tests.discovery.fleet import Fleet


def test_the_example_of_the_documentation(two: Fleet) -> None:
    client = Client(api_server=two.api.url, capability={"type": "again"})
    result = client.infer("again", {"text": ["hello"]})
    assert result["replica"][0].decode() == client.replica_id
    client.close()
    assert client.replica_id in {"a", "b"}


def test_a_client_says_where_the_last_request_went(two: Fleet) -> None:
    client = two.client()
    for _ in range(20):
        name = client.infer("once")["replica"][0].decode()
        assert (client.replica_id, client.endpoint) == (name, two.replicas[name].address)


def test_before_the_first_request_it_says_where_that_may_go(two: Fleet) -> None:
    client = two.client(capability={"type": "once"})
    assert client.replica_id in {"a", "b"}
    assert client.endpoint == two.replicas[client.replica_id].address


def test_a_call_may_want_something_else_than_the_client(two: Fleet) -> None:
    client = two.client(capability={"type": "nothing of the kind"})
    with pytest.raises(NotFoundError, match="nothing of the kind"):
        client.infer("once")
    assert client.infer("x", capability={"type": "once"})["replica"]
    assert client.infer("x", parameters={"cap.type": "once"})["replica"]
    assert client.infer("x", headers={"x-cap-type": "once"})["replica"]


def test_what_nobody_offers_is_named_with_what_there_is(two: Fleet) -> None:
    client = two.client()
    with pytest.raises(NotFoundError, match=r"no capability matches \{type: embed\}.*\{type: again\}"):
        client.infer("embed")
    assert not client.is_ready("embed")
    with pytest.raises(CapabilityError):
        client.infer("x", capability={"": 1})


def test_readiness_metadata_and_streams(two: Fleet) -> None:
    client = two.client()
    assert client.is_ready(timeout=30)
    assert client.is_ready("again", timeout=30)
    with client.stream("count") as results:
        names = [result["replica"][0].decode() for result in results]
    assert names in (["a", "a"], ["b", "b"])
    with pytest.raises(NotFoundError):
        list(client.stream("embed"))


def test_objects_are_those_of_one_agent(two: Fleet) -> None:
    client = two.client()
    reference = client.objects.create(np.arange(5), key="five")
    assert client.objects.get("five").tolist() == [0, 1, 2, 3, 4]
    assert client.objects.lookup("five") == reference


async def test_the_asyncio_twin(two: Fleet) -> None:
    async with AsyncClient(api_server=two.api.url, capability={"type": "again"}) as client:
        before = client.endpoint
        assert before is None
        assert await client.resolve() in {server.address for server in two.replicas.values()}
        name = (await client.infer("again"))["replica"][0].decode()
        assert (client.replica_id, client.endpoint) == (name, two.replicas[name].address)
        async with client.stream(capability={"type": "count"}) as results:
            assert len([result async for result in results]) == 2
        reference = await client.objects.create(b"some bytes")
        assert bytes(await client.objects.get(reference)) == b"some bytes"
        with pytest.raises(NotFoundError):
            await client.infer(capability={"type": "embed"})


def test_an_api_server_that_is_not_there_is_named() -> None:
    with socket.socket() as nowhere:
        nowhere.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nowhere.getsockname()[1]}"
        with (
            Client(api_server=url) as client,
            pytest.raises(UnavailableError, match=f"{url} has not said within 500ms"),
        ):
            client.infer("echo", timeout=0.5)


def test_one_of_several_api_servers_is_enough(two: Fleet) -> None:
    with Client(api_server=f"http://127.0.0.1:9,{two.api.url}") as client:
        assert client.infer("again", timeout=30)["replica"]


def test_the_command_line(two: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "--api-server", two.api.url, "again"]) == 0
    assert capsys.readouterr().out in {"replica BYTES [1]: [a]\n", "replica BYTES [1]: [b]\n"}
    with pytest.raises(SystemExit):
        main(["infer", "--api-server", two.api.url, "--port", "8000", "again"])
    assert "give either" in capsys.readouterr().err
