"""The labels of the metrics: they do not grow with what clients send, and hold whatever a capability is called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from anyserve import Client
from anyserve.errors import NotFoundError
from prometheus_client.openmetrics import parser as openmetrics

from tests.apps.odd import ALIKE, ODD
from tests.metrics import Metrics

if TYPE_CHECKING:
    from tests.conftest import Serve
    from tests.server import Server


def test_requests_make_no_new_series(serve: Serve) -> None:
    server = serve("tests.apps.measured:app")
    metrics, client = Metrics(server), Client(server.address)

    def one_more(index: int) -> None:
        client.infer("work", request_id=f"secret{index}", parameters={f"secret{index}": index})
        client.infer(capability={"model": "llama"}, parameters={"priority": 1 + index % 9})
        for wrong in ({"model_name": f"secret{index}"}, {"capability": {"type": "work", "secret": index}}):
            with pytest.raises(NotFoundError):
                client.infer(**wrong)

    one_more(0)
    before = set(metrics.samples())
    for index in range(1, 50):
        one_more(index)
    assert set(metrics.samples()) == before
    assert "secret" not in metrics.page()


def connect(server: Server) -> tuple[Metrics, Client]:
    """The server's ready line may not be one line."""
    address = server.stdout.find(re.compile(r"grpc://(\S+) by"))
    assert address is not None
    return Metrics(server), Client(address[1])


def served(metrics: Metrics) -> list[str]:
    """The capabilities that have served a request; the page must be well-formed."""
    assert list(openmetrics.text_string_to_metric_families(metrics.page()))  # type: ignore[no-untyped-call]
    found = [(dict(labels), value) for (name, labels), value in metrics.samples().items() if name == REQUESTS]
    assert {value for _, value in found} == {1}
    return [labels["capability"] for labels, _ in found]


REQUESTS = "anyserve_requests_total"


def test_odd_values_of_capabilities_are_escaped(serve: Serve) -> None:
    metrics, client = connect(serve("tests.apps.odd:app", ready=False))
    for odd in ODD:
        client.infer(capability={"type": "odd", "value": odd})
    assert len(served(metrics)) == len(ODD)


def test_different_capabilities_have_different_labels(serve: Serve) -> None:
    metrics, client = connect(serve("tests.apps.odd:alike", ready=False))
    for pairs in ALIKE:
        client.infer(capability=pairs)
    assert len(served(metrics)) == len(ALIKE)


def test_odd_values_of_capabilities_are_announced_on_one_line(serve: Serve) -> None:
    server = serve("tests.apps.odd:app", ready=False)
    line = server.stdout.find(re.compile(r"grpc://\S+ by"))
    assert line is not None
    assert line.string.startswith("ready: ")
