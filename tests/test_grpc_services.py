"""What is beside inference on the port: health, reflection, and a clear answer to every call that is not served."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from anyserve import Client
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

SERVICE = "inference.GRPCInferenceService"
SERVED = {
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelStreamInfer",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
}
METHODS = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def channel(basic: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(basic.address) as channel:
        yield channel


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(channel: grpc.Channel, service: str) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    assert health.Check(request).status == SERVING
    watch = health.Watch(request)
    assert next(watch).status == SERVING
    watch.cancel()


def test_health_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nothing.Here"))
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("service", ["", SERVICE])
def test_a_watch_hears_the_drain(serve: Serve, gate: Gate, service: str) -> None:
    server = serve("tests.apps.gated:app")
    with grpc.insecure_channel(server.address) as channel, Client(server.address) as client:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
        assert next(watch).status == SERVING
        running = threading.Thread(target=client.infer, args=["once"], kwargs={"parameters": gate.parameters})
        running.start()
        gate.wait_entered()
        server.send_signal(signal.SIGTERM)
        assert next(watch).status == NOT_SERVING
        gate.open()
        running.join()
        watch.cancel()
        assert server.wait() == 0


def test_a_watch_hears_the_drain_of_an_idle_server(serve: Serve) -> None:
    server = serve("tests.apps.gated:app")
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        server.send_signal(signal.SIGTERM)
        assert next(watch).status == NOT_SERVING
        watch.cancel()
        assert server.wait() == 0


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    assert set(reflected_services(channel)) >= {SERVICE, "grpc.health.v1.Health"}


def reflected_services(channel: grpc.Channel) -> list[str]:
    """What the reflection service lists."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [response] = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    return [service.name for service in response.list_services_response.service]


def test_reflection_describes_the_inference_service(channel: grpc.Channel) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{SERVICE}.ModelInfer")
    [response] = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    [file] = response.file_descriptor_response.file_descriptor_proto
    assert b"ModelInferRequest" in file


@pytest.mark.parametrize("method", [method for method in METHODS if method.name not in SERVED], ids=lambda m: m.name)
def test_a_call_that_is_not_served_is_unimplemented_by_name(channel: grpc.Channel, method: Any) -> None:
    call = getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method.name)
    request = getattr(service_pb2, method.input_type.name)()
    with pytest.raises(grpc.RpcError) as failure:
        next(call(iter([request]))) if method.server_streaming else call(request)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert method.name in failure.value.details()


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Nothing", "/nothing.Here/Nothing"])
def test_an_unknown_call_is_unimplemented_by_name(channel: grpc.Channel, path: str) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary(path)(b"")
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert path in failure.value.details()


def test_every_call_that_is_served_is_in_the_protocol() -> None:
    assert {method.name for method in METHODS} > SERVED
