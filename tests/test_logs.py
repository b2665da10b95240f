"""What an agent writes to its log: one line for each request that failed, as text or as JSON."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import AsyncClient, Client
from anyserve.errors import RequestError

from tests.background import Background
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

APP = "tests.apps.measured:app"


def lines(server: Server) -> list[dict[str, Any]]:
    """The lines of the log, all of which are JSON."""
    return [json.loads(line) for line in server.stderr.text.splitlines()]


def fail(client: Client, model: str, **options: Any) -> None:
    with pytest.raises(RequestError):
        client.infer(model, **options)


def test_a_failed_request_is_one_line_of_json(serve: Serve) -> None:
    server = serve(APP, "--log-format", "json")
    with Client(server.address) as client:
        client.infer("work", request_id="fine")
        fail(client, "work", request_id="id 1", parameters={"error": "InvalidArgumentError"})
        fail(client, "work", request_id="id 2", parameters={"error": "NotFoundError"})
        client.infer("work", request_id="fine too")
    assert server.stop() == 0
    first, second = lines(server)
    assert (first["id"], first["model"], first["outcome"]) == ("id 1", "work", "invalid_argument")
    assert (second["id"], second["model"], second["outcome"]) == ("id 2", "work", "not_found")
    assert first["message"] == "request failed: as it was asked to"
    assert (first["level"], type(first["request"])) == ("WARN", int)
    assert first["request"] != second["request"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first["timestamp"])


def test_a_failed_request_is_one_line_of_text(serve: Serve) -> None:
    server = serve(APP)
    with Client(server.address) as client:
        fail(client, "work", request_id="id-1", parameters={"error": "InvalidArgumentError"})
    assert server.stop() == 0
    [line] = server.stderr.text.splitlines()
    assert re.search(r" WARN request failed: as it was asked to ", line)
    assert all(field in line for field in ('id="id-1"', 'model="work"', 'outcome="invalid_argument"'))
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("model", "options", "outcome"),
    [
        ("hang", {}, "deadline_exceeded"),
        ("kill", {}, "unavailable"),
        ("work", {"outputs": ["more"]}, "invalid_argument"),
    ],
)
def test_what_the_agent_ends_is_one_line_too(serve: Serve, model: str, options: Any, outcome: str) -> None:
    server = serve(APP, "--log-format", "json")
    with Client(server.address) as client:
        fail(client, model, request_id="it", **options)
        client.infer("work", timeout=60)
    assert server.stop() == 0
    [line] = [line for line in lines(server) if line.get("id") == "it"]
    assert (line["model"], line["outcome"]) == (model, outcome)


def test_a_deadline_in_the_queue_is_one_line(serve: Serve, gate: Gate) -> None:
    server = serve(APP, "--log-format", "json")
    with Background(server.address) as background, Client(server.address) as client:
        running = background.infer("work", gate.parameters)
        gate.wait_entered()
        fail(client, "work", request_id="late", parameters={"timeout": 50_000})
        gate.open()
        running.result(60)
    assert server.stop() == 0
    [line] = lines(server)
    assert (line["id"], line["outcome"]) == ("late", "deadline_exceeded")


def test_an_exception_is_one_line_beside_its_traceback(serve: Serve) -> None:
    server = serve(APP, "--log-format", "json")
    with Client(server.address) as client:
        fail(client, "work", request_id="raises", parameters={"error": "ValueError"})
    assert server.stop() == 0
    text = server.stderr.text.splitlines()
    [line] = [json.loads(line) for line in text if line.startswith("{")]
    assert (line["id"], line["outcome"], line["message"]) == (
        "raises",
        "internal",
        "request failed: ValueError: as it was asked to",
    )
    # The worker's own output, which is the application's.
    assert any(line.startswith("ValueError: as it was asked to") for line in text)


def test_a_failed_stream_is_one_line(serve: Serve) -> None:
    server = serve(APP, "--log-format", "json")
    with Client(server.address) as client:
        with pytest.raises(RequestError):
            list(client.stream("work", request_id="stream", parameters={"error": "InvalidArgumentError"}))
        fail(client, "work", request_id="after", parameters={"error": "InvalidArgumentError"})
    assert server.stop() == 0
    assert [line["id"] for line in lines(server)] == ["stream", "after"]


def test_each_request_of_a_failed_batch_is_one_line(serve: Serve) -> None:
    server = serve("tests.apps.batching:app", "--log-format", "json")
    with Background(server.address) as background:
        parameters = {"raise": "InvalidArgumentError: all"}
        requests = [background.infer("results", parameters, request_id=name) for name in "abcd"]
        assert all(isinstance(request.exception(60), RequestError) for request in requests)
    assert server.stop() == 0
    assert sorted(line["id"] for line in lines(server)) == list("abcd")


def test_odd_ids_stay_on_their_line(serve: Serve) -> None:
    server = serve(APP, "--log-format", "json")
    odd = ['quo"te', "back\\slash", "漢字 🦀", "\u2028", "new\nline", "\x1b[31mred", "\r"]
    with Client(server.address) as client:
        for text in odd:
            fail(client, "work", request_id=text, parameters={"error": "InvalidArgumentError"})
    assert server.stop() == 0
    found = [json.loads(line)["id"] for line in server.stderr.text.rstrip("\n").split("\n")]
    # Control characters are escaped in the text log, and so here too.
    assert (len(found), found[:4]) == (len(odd), odd[:4])


@pytest.mark.parametrize("where", ["id", "model", "message"])
def test_odd_texts_stay_on_their_line_of_text(serve: Serve, where: str) -> None:
    server = serve(APP)
    odd = ["new\nline", "\x1b[31mred", "\r"]
    with Client(server.address) as client:
        for text in odd:
            model = text if where == "model" else "work"
            parameters = {"error": "InvalidArgumentError", "message": text if where == "message" else ""}
            request_id = text if where == "id" else ""
            fail(client, model, request_id=request_id, parameters=parameters, capability={"type": "work"})
    assert server.stop() == 0
    written = server.stderr.text
    assert (written.count("\n"), "\x1b" in written, "\r" in written) == (len(odd), False, False)


async def test_that_a_client_left_is_no_news(serve: Serve, gate: Gate) -> None:
    server = serve(APP, "--log-format", "json")
    async with AsyncClient(server.address) as client:
        leaving = asyncio.create_task(client.infer("work", parameters=gate.parameters))
        await asyncio.to_thread(gate.wait_entered)
        leaving.cancel()
        gate.open()
        await client.infer("work")
    assert server.stop() == 0
    assert lines(server) == []


def test_a_restart_is_a_line_of_json(serve: Serve) -> None:
    server = serve(APP, "--log-format", "json")
    with Client(server.address) as client:
        fail(client, "exit")
        client.infer("work", timeout=60)
    [line] = [line for line in lines(server) if "starting another" in line["message"]]
    assert line["message"].startswith("the worker exited with code 3")


def test_the_level_holds_for_json_too(serve: Serve) -> None:
    server = serve(APP, "--log-format", "json", "--log-level", "error")
    with Client(server.address) as client:
        fail(client, "work", parameters={"error": "InvalidArgumentError"})
    assert server.stop() == 0
    assert server.stderr.text == ""
    server = serve(APP, "--log-format", "json", "--log-level", "debug")
    eventually(lambda: any("worker started" in line["message"] for line in lines(server)), "it tells more")
