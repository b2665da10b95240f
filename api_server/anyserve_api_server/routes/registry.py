"""Replicas come, stay and go."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from ..bodies import described, read
from ..errors import ApiError
from ..models import Lease, Leased, Registration, ReplicaId
from ..registrations import Registrations
from ..services import Services
from ..sse import EventStream
from .described import errors

__all__ = ["router"]

Id = Annotated[ReplicaId, Path(description="The replica's id.")]


def router(services: Services) -> APIRouter:
    """The routes by which replicas register."""
    routes = APIRouter(tags=["registration"])
    _add_register(routes, services)
    _add_leases(routes, services.registrations)
    return routes


def _add_register(routes: APIRouter, services: Services) -> None:
    @routes.post(
        "/register",
        summary="Register for as long as the connection lasts",
        response_class=Response,
        responses={
            200: {
                "description": "Events: `registered` at first, then a comment every 5 s. `superseded` (a later "
                "registration has the id) and `removed` (somebody deleted it) end the stream. When the connection "
                "breaks, the replica is gone.",
                "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
            },
            **errors(400, 403, 408, 409, 413, 415, 429, 503),
        },
        openapi_extra=described(Registration),
    )
    async def register(request: Request) -> Response:
        registration = await read(request, Registration)
        session = await services.registrations.open(registration.model_dump(exclude_none=True))
        return EventStream(session.events(), services.stopping, session.close)


def _add_leases(routes: APIRouter, registrations: Registrations) -> None:
    @routes.put(
        "/replicas/{replica_id}",
        summary="Register for a time, renew, or change",
        response_model=Leased,
        responses=errors(400, 403, 408, 409, 413, 415, 429, 503),
        openapi_extra=described(Lease),
    )
    async def put(replica_id: Id, request: Request) -> dict[str, Any]:
        lease = await read(request, Lease)
        if lease.replica_id not in (None, replica_id):
            raise ApiError(400, f"the body is of '{lease.replica_id}', the path of '{replica_id}'")
        replica = lease.model_dump(exclude={"lease_seconds"}, exclude_none=True)
        kept = await registrations.put({**replica, "replica_id": replica_id}, lease.lease_seconds)
        return {
            "replica_id": replica_id,
            "incarnation": kept["incarnation"],
            "lease_seconds": lease.lease_seconds,
        }

    @routes.delete(
        "/replicas/{replica_id}",
        summary="Remove a replica",
        status_code=204,
        response_class=Response,
        responses={204: {"description": "It is gone."}, **errors(400, 403, 404, 413, 415, 503)},
    )
    async def delete(
        replica_id: Id,
        incarnation: Annotated[
            int | None, Query(ge=0, lt=2**63, description="Leaves later ones where they are.")
        ] = None,
    ) -> Response:
        if not await registrations.remove(replica_id, incarnation):
            of = "" if incarnation is None else f" of incarnation {incarnation} or earlier"
            raise ApiError(404, f"there is no replica '{replica_id}'{of}")
        return Response(status_code=204)


_EXAMPLE = 'event: registered\ndata: {"replica_id":"a","incarnation":1764000000000000}\n\n:\n\n'
