"""The OpenAPI document is true: requests that are made from it get the answers it speaks of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as openapi

from tests.api_server.process import ApiServer
from tests.server import Server

CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.unsupported_method,
]

EXAMPLES = 25
"""Requests for each operation, of each kind."""

STREAMS = ["/register", "/watch", "/console/state"]
"""Their answers do not end."""


@pytest.fixture(scope="module")
def document(shared_api: ApiServer) -> Any:
    return shared_api.http.get("/openapi.json").json()


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["summary"], place
            assert len(operation["tags"]) == 1, place
            assert "422" not in operation["responses"], place
            for status, answer in operation["responses"].items():
                assert answer["description"], f"{place} {status}"
                if int(status) >= 400:
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Error"}, f"{place} {status}"
    assert {"/route", "/register", "/replicas/{replica_id}", "/watch", "/infer", "/v2/models/{model}/infer"} <= set(
        document["paths"]
    )


@pytest.fixture(scope="module")
def shared_api(basic: Server) -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.put("a", {"type": "echo"}, {"type": "chat", "model": "llama-70b"}, endpoint=basic.address)
        yield server


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.timeout(300)
def test_answers_are_as_described(document: dict[str, Any], shared_api: ApiServer, mode: GenerationMode) -> None:
    described = schemathesis.openapi.from_dict(document).exclude(path=STREAMS)
    for operation in described.get_all_operations():
        assert isinstance(operation, Ok), operation
        _check(operation.ok(), mode, shared_api.url)


def _check(operation: Any, mode: GenerationMode, url: str) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def holds(case: Any) -> None:
        case.validate_response(case.call(base_url=url, timeout=30), checks=CHECKS)

    try:
        holds()
    except Unsatisfiable:
        # Nothing that could be wrong in it.
        assert mode is GenerationMode.NEGATIVE, operation.label
