"""What goes in and out as JSON: checked on the way in, described in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from .settings import DEFAULT_LEASE, MAX_CAPABILITIES, MAX_LEASE, MIN_LEASE

__all__ = [
    "Error",
    "Health",
    "Lease",
    "Leased",
    "Registration",
    "RegistryState",
    "Replica",
    "Replicas",
    "Route",
    "ShortRequest",
    "ShortResponse",
]

ReplicaId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[!-+\-.0-~]+$",
        description="Visible ASCII characters without ',' and '/'.",
        examples=["a"],
    ),
]

Endpoint = Annotated[
    str,
    Field(
        min_length=3,
        max_length=260,
        pattern=r"^[A-Za-z0-9._\-\[\]:]+:[0-9]{1,5}$",
        description="`HOST:PORT` of the replica's KServe gRPC port, as clients reach it.",
        examples=["10.0.0.1:8000"],
    ),
]

Incarnation = Annotated[
    int,
    Field(
        ge=0,
        lt=2**63,
        description="Grows with each start of a replica: of two with one id the later wins. Else the server counts.",
        examples=[1764000000000000],
    ),
]

Value = Annotated[
    str | bool | int | float, Field(description="Values compare by their text: 1, 1.0 and '1' are equal.")
]

Capability = Annotated[
    dict[str, Value],
    Field(min_length=1, max_length=32, examples=[{"type": "chat", "model": "llama-70b"}]),
]


class Error(BaseModel):
    """What every answer is that tells of an error."""

    error: str = Field(
        description="What was wrong, and what would be right.", examples=["no capability matches {type: x}"]
    )


class _Offer(BaseModel):
    endpoint: Endpoint
    incarnation: Incarnation | None = None
    capabilities: Annotated[
        list[Capability],
        Field(max_length=MAX_CAPABILITIES, description="What it takes requests for; nothing while it drains."),
    ]
    idempotent: Annotated[
        list[Capability],
        Field(
            max_length=MAX_CAPABILITIES, description="Those of them for which it does no harm to run a request twice."
        ),
    ] = []


class Registration(_Offer):
    """A replica, as it registers. Members that are not known are passed over."""

    replica_id: ReplicaId


class Lease(_Offer):
    """A replica, as it registers for a time. Members that are not known are passed over."""

    replica_id: ReplicaId | None = Field(default=None, description="May be left out; else the one in the path.")
    lease_seconds: float = Field(
        default=DEFAULT_LEASE,
        ge=MIN_LEASE,
        le=MAX_LEASE,
        allow_inf_nan=False,
        description="How long it is registered unless this is sent again; three times per lease is a good habit.",
    )


class Leased(BaseModel):
    """A registration that lasts for a time."""

    replica_id: str
    incarnation: int
    lease_seconds: float


class Route(BaseModel):
    """Where to send a request."""

    endpoint: str = Field(examples=["10.0.0.1:8000"])
    replica_id: str = Field(examples=["a"])


class Replica(BaseModel):
    """A replica that is registered."""

    replica_id: str = Field(examples=["a"])
    endpoint: str = Field(examples=["10.0.0.1:8000"])
    incarnation: int = Field(examples=[1764000000000000])
    capabilities: list[dict[str, str]] = Field(examples=[[{"type": "chat", "model": "llama-70b"}]])


class Replicas(BaseModel):
    """Some of the fleet."""

    replicas: list[Replica]


class RegistryState(BaseModel):
    """The fleet, and how this server knows it."""

    registry: str = Field(description="Where the registrations are.", examples=["memory:"])
    connected: bool = Field(description="False while the registry does not answer: what is known is what was known.")
    complete: bool = Field(description="False soon after a start, while replicas may still be registering again.")
    replicas: list[Replica]


class Health(BaseModel):
    """How the server is."""

    status: str = Field(description="`ok`, or `degraded` while the registry does not answer.", examples=["ok"])
    version: str
    uptime: float = Field(description="Seconds.")
    registry: str
    connected: bool
    replicas: int


Data = Annotated[Any, Field(description="A scalar or a (nested) list of numbers, booleans or strings, as one tensor.")]


class ShortRequest(BaseModel):
    """A request in short: what each tensor's datatype is follows from its data."""

    inputs: dict[str, Data] = Field(examples=[{"text": ["hello"]}])
    parameters: dict[str, Value] = Field(default={}, description="As in KServe v2, such as `timeout` in microseconds.")
    id: str = Field(default="", description="Comes back in the answer.")


class ShortResponse(BaseModel):
    """An answer in short."""

    id: str = ""
    outputs: dict[str, Any] = Field(examples=[{"output_text": ["hello"]}])
