"""Route of the projections: position and lag of each read model."""

import asyncio
from datetime import datetime

import msgspec
from litestar import Controller, get

from interfaces.web.edge import Web
from interfaces.web.listing import Listing
from interfaces.web.route_policy import OPERATOR, RoutePolicy
from projections.queries.views import ProjectionPosition


class ProjectionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A projection; `lag` counts positions of the log that are not folded yet."""

    name: str
    version: int
    position: int
    head: int
    lag: int
    updated_at: datetime | None
    stopped_at: int | None
    stopped_reason: str | None


class ProjectionController(Controller):
    path = "/api/projections"
    tags = ("operations",)

    @get(
        "/",
        summary="Position, lag and health of each",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def listed(self, web: Web) -> Listing[ProjectionDocument]:
        found = await asyncio.to_thread(web.read_models.positions)
        return Listing(items=tuple(map(_document, found)))


def _document(position: ProjectionPosition) -> ProjectionDocument:
    fields = {name: getattr(position, name) for name in ProjectionDocument.__struct_fields__}
    return ProjectionDocument(**fields)
