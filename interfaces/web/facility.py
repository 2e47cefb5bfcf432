"""Facilities: what is known of each, what it draws now and drew before."""

import asyncio
from datetime import datetime
from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from application.facility.portfolio_entries import FacilityEntry
from application.telemetry.load_history import MOST_STEPS
from domain.time_series.interval_block import steps_in
from domain.time_series.windows import NotAligned
from interfaces.web.access import ApiRequest, store_is_away
from interfaces.web.collaborators import collaborators_of, edge_of, models_of
from interfaces.web.facility_registration import FacilityRegistration, registered
from interfaces.web.load_history import (
    STEPS_S,
    HistoryDocument,
    Resolution,
    Steps,
    document_of,
    page_of,
    window_of,
)
from interfaces.web.paging import Cursor, Filter, Limit, Listing, shared_listing
from interfaces.web.past import AsOfQuery, facilities_of, past_of
from interfaces.web.problems import Problem
from interfaces.web.replica_reads import is_away
from interfaces.web.stale_label import headers_of
from projections.as_of.dr_event import facility_as_of
from projections.audit.stream_log import AsOf
from projections.facility import FacilityRow, key_of


class FacilityController(Controller):
    path = "/api/facilities"
    tags = ("facilities",)

    @get("/", summary="By facility id")
    async def listed(
        self,
        request: ApiRequest,
        *,
        status: Filter = None,
        program: Filter = None,
        cursor: Cursor = None,
        limit: Limit = 100,
        as_of: AsOfQuery = None,
    ) -> Response[Listing[FacilityRow]]:
        """A key of one facility sees that one alone."""
        past = past_of(as_of)
        if request.user.facility_id is not None:
            return Response(Listing(items=(await _facility_of(request, request.user.facility_id, past),)))
        return await shared_listing(
            edge_of(request),
            await facilities_of(request, past),
            filters={"status": status, "programs": program},
            tenant=None,
            cursor=cursor,
            limit=limit,
        )

    @post("/", status_code=200, summary="Make a facility known, or change what is agreed with it")
    async def register(
        self, request: ApiRequest, data: JSONBody[FacilityEntry]
    ) -> Response[FacilityRegistration]:
        """One entry of a portfolio file. Again is the same as once: only differences are recorded."""
        return await registered(request, data)

    @get("/{facility_id:str}", summary="One facility")
    async def one(
        self, request: ApiRequest, facility_id: FromPath[str], *, as_of: AsOfQuery = None
    ) -> FacilityRow:
        """Its zones, limits, programs and reservations; how its BMS does is at `/health`."""
        return await _facility_of(request, facility_id, past_of(as_of))

    @get("/{facility_id:str}/history", summary="Load by 15 s, minute, quarter-hour or hour")
    async def history(
        self,
        request: ApiRequest,
        facility_id: FromPath[str],
        first: Annotated[datetime, QueryParameter(name="from")],
        last: Annotated[datetime, QueryParameter(name="to")],
        *,
        resolution: FromQuery[Resolution] = "15m",
        cursor: Cursor = None,
        limit: Steps = MOST_STEPS,
    ) -> Response[HistoryDocument]:
        """15s for at most a day at once, out of single readings; 1m for 31 days; 15m and 1h for 92, imports too."""
        await check_visible(request, facility_id)
        step_s = STEPS_S[resolution]
        window = window_of(first, last, step_s)
        try:
            steps_in(window, step_s)
            page = page_of(window, step_s, cursor, limit)
            found = await edge_of(request).histories.history(facility_id, page, step_s)
        except NotAligned as error:
            raise Problem("invalid-request", str(error)) from None
        clock = collaborators_of(request).clock
        document = document_of(facility_id, found, window, page, clock.now())
        return Response(document, headers=headers_of([found.answer], clock))


async def _facility_of(request: ApiRequest, facility_id: str, past: AsOf | None) -> FacilityRow:
    """Live or as it stood. Raises as `visible_facility`."""
    if past is None:
        return await visible_facility(request, facility_id)
    row = None
    if request.user.facility_id in (None, facility_id):
        log = collaborators_of(request).story_log
        row = await asyncio.to_thread(facility_as_of, log, facility_id, past)
    if row is None:
        raise _unknown()
    return row


async def visible_facility(request: ApiRequest, facility_id: str) -> FacilityRow:
    """Raises Problem (404) where there is none, or the key may not see it."""
    row = None
    if request.user.facility_id in (None, facility_id):
        row = await edge_of(request).rows.get(models_of(request).facilities, key_of(facility_id))
    if row is None:
        raise _unknown()
    return row


async def check_visible(request: ApiRequest, facility_id: str) -> None:
    """As `visible_facility`, without a look into the store where it was seen before."""
    edge = edge_of(request)
    if request.user.facility_id not in (None, facility_id):
        raise _unknown()
    if edge.facilities.is_remembered(facility_id):
        return
    if is_away(request.scope, edge.live.state):
        raise store_is_away()
    if not await asyncio.to_thread(edge.facilities.among, [facility_id]):
        raise _unknown()


def _unknown() -> Problem:
    return Problem("not-found", "no such facility (then); list them at /api/facilities")
