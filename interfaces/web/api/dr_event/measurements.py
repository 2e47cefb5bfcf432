"""Routes of the numbers of a DR event with the domain events that they come from."""

import asyncio
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromPath, QueryParameter

from interfaces.web.guard.access import ApiRequest
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of, read_log, visible_dr_event
from interfaces.web.requests.paging import Cursor, listing_of
from interfaces.web.route_policy import READER_OR_UTILITY, RoutePolicy
from projections.as_of.number_origins import (
    NumberOrigin,
    dispatch_number_origins,
    dr_event_number_origins,
)

MOST_FACILITIES = 100
"""In one answer: their numbers are folded from the log."""
FewAtOnce = Annotated[
    int, QueryParameter(ge=1, le=MOST_FACILITIES, description="How many facilities at most")
]


class OriginDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A domain event: its topic, and its position in the log (a step of the audit trail)."""

    topic: str
    position: int
    recorded_at: datetime


class NumberDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A number; its unit is in its name. `origin` gave it this value."""

    name: str
    value: float
    origin: OriginDocument


class FacilityNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one facility's dispatch."""

    facility_id: str
    numbers: tuple[NumberDocument, ...]


class MeasurementsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the DR event, and a page of its facilities. A number that is not known yet is left out."""

    dr_event_id: UUID
    numbers: tuple[NumberDocument, ...]
    """Of the whole; empty for a key of one facility."""
    items: tuple[FacilityNumbers, ...]
    next_cursor: str | None = None


class MeasurementsController(Controller):
    path = "/api/dr-events/{dr_event_id:uuid}/measurements"
    tags = ("DR events",)

    @get(
        "/",
        summary="Each number with the domain event that it comes from",
        policy=RoutePolicy(
            roles=READER_OR_UTILITY,
            one_facility=True,
            cache="stale",
            projections=("dr_events", "dispatches"),
        ),
    )
    async def whole(
        self,
        request: ApiRequest,
        dr_event_id: FromPath[UUID],
        *,
        cursor: Cursor = None,
        limit: FewAtOnce = 50,
        as_of: AsOfQuery = None,
    ) -> MeasurementsDocument:
        """A key of one facility sees the numbers of that facility."""
        past, own = parse_as_of(as_of), request.user.facility_id
        visible = await visible_dr_event(request, dr_event_id, past)
        page = await asyncio.to_thread(
            listing_of,
            visible.dispatches,
            filters={"dr_event_id": str(dr_event_id), "facility_id": own},
            tenant=request.user.utility_id,
            cursor=cursor,
            limit=limit,
        )
        ids = [row.facility_id for row in page.rows]
        numbers: tuple[NumberOrigin, ...] = ()
        if own is None:
            numbers = await read_log(
                request, lambda log: dr_event_number_origins(log, dr_event_id, past), as_of=past
            )
        parts = await read_log(
            request, lambda log: dispatch_number_origins(log, dr_event_id, ids, past), as_of=past
        )
        return MeasurementsDocument(
            dr_event_id=dr_event_id,
            numbers=_numbers(numbers),
            items=tuple(FacilityNumbers(facility_id=i, numbers=_numbers(parts[i])) for i in ids),
            next_cursor=page.next_cursor,
        )


def _numbers(origins: tuple[NumberOrigin, ...]) -> tuple[NumberDocument, ...]:
    return msgspec.convert(origins, tuple[NumberDocument, ...], from_attributes=True)
