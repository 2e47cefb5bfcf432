"""Facilities: what is known of each, what it draws now and drew before, and its maintenance."""

import asyncio
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta

from application.commands.facility import (
    EndMaintenance,
    OptInFacility,
    OptingOut,
    OptOutFacility,
    StartMaintenance,
)
from application.ports.telemetry_store import CurrentValue
from domain.time_windows import IntervalSeries, NotAligned, TimeWindow
from interfaces.web.access import ApiRequest
from interfaces.web.collaborators import WebCollaborators, collaborators_of
from interfaces.web.command_context import context_of
from interfaces.web.dr_event import Text
from interfaces.web.paging import Cursor, Filter, Limit, Listing, listing_of
from interfaces.web.problems import Problem
from projections.facilities import FacilityRow, key_of

STALE_AFTER_S = 120.0
"""Clock seconds; meters report every 15."""
LONGEST_HISTORY = timedelta(days=92)
STEPS_S = {"15m": 900, "1h": 3_600}


class MaintenanceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    action: Literal["start", "end"]
    reason: Annotated[str, Meta(max_length=1_000, pattern=r"^[^\x00]*$")] = ""
    """Needed to start."""


class OptingBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without `dr_event_id` it is about every DR event, those to come too."""

    reason: Text
    dr_event_id: UUID | None = None


class CurrentDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a facility draws now, as far as its meters say."""

    facility_id: str
    kw: float | None
    measured_at: datetime | None
    age_s: float | None
    stale: bool
    source: Literal["meters", "none"]


class HistoryStep(msgspec.Struct, frozen=True, kw_only=True):
    starts_at: datetime
    kw: float | None
    """Mean over the step; None where readings are missing."""


class HistoryDocument(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    step_s: int
    steps: tuple[HistoryStep, ...]


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
    ) -> Listing[FacilityRow]:
        if request.user.facility_id is not None:
            return Listing(items=(await _visible(request, request.user.facility_id),))
        page = await asyncio.to_thread(
            listing_of,
            collaborators_of(request).read_models.facilities,
            filters={"status": status, "programs": program},
            tenant=None,
            cursor=cursor,
            limit=limit,
        )
        return Listing(items=page.rows, next_cursor=page.next_cursor)

    @get("/{facility_id:str}", summary="One facility")
    async def one(self, request: ApiRequest, facility_id: FromPath[str]) -> FacilityRow:
        return await _visible(request, facility_id)

    @get("/{facility_id:str}/current", summary="What it draws now")
    async def current(self, request: ApiRequest, facility_id: FromPath[str]) -> CurrentDocument:
        await _visible(request, facility_id)
        web = collaborators_of(request)
        found = await asyncio.to_thread(web.telemetry.current, [facility_id])
        return _current(facility_id, found[0] if found else None, web)

    @get("/{facility_id:str}/history", summary="Mean kW by quarter-hour or hour")
    async def history(
        self,
        request: ApiRequest,
        facility_id: FromPath[str],
        first: Annotated[datetime, QueryParameter(name="from")],
        last: Annotated[datetime, QueryParameter(name="to")],
        resolution: FromQuery[Literal["15m", "1h"]] = "15m",
    ) -> HistoryDocument:
        await _visible(request, facility_id)
        window, step_s = _window(first, last), STEPS_S[resolution]
        try:
            series = await asyncio.to_thread(
                collaborators_of(request).telemetry.interval_series, facility_id, window, step_s
            )
        except NotAligned as error:
            raise Problem("invalid-request", str(error)) from None
        return HistoryDocument(facility_id=facility_id, step_s=step_s, steps=_steps(series, window))

    @post("/{facility_id:str}/maintenance", status_code=200, summary="Start or end maintenance")
    async def maintain(
        self, request: ApiRequest, facility_id: FromPath[str], data: JSONBody[MaintenanceBody]
    ) -> None:
        command = (
            StartMaintenance(facility_id=facility_id, reason=data.reason)
            if data.action == "start"
            else EndMaintenance(facility_id=facility_id)
        )
        await asyncio.to_thread(collaborators_of(request).bus.handle, command, context_of(request))

    @post("/{facility_id:str}/opt-out", status_code=200, summary="It does not serve: restored at once")
    async def opt_out(
        self, request: ApiRequest, facility_id: FromPath[str], data: JSONBody[OptingBody]
    ) -> OptingOut:
        """Of one DR event, or of any until it opts in again."""
        return await _opted(
            request,
            OptOutFacility(facility_id=facility_id, dr_event_id=data.dr_event_id, reason=data.reason),
        )

    @post("/{facility_id:str}/opt-in", status_code=200, summary="It serves again")
    async def opt_in(
        self, request: ApiRequest, facility_id: FromPath[str], data: JSONBody[OptingBody]
    ) -> OptingOut:
        return await _opted(
            request, OptInFacility(facility_id=facility_id, dr_event_id=data.dr_event_id, reason=data.reason)
        )


async def _opted(request: ApiRequest, command: OptOutFacility | OptInFacility) -> OptingOut:
    reply: OptingOut = await asyncio.to_thread(
        collaborators_of(request).bus.handle, command, context_of(request), reply_type=OptingOut
    )
    return reply


async def _visible(request: ApiRequest, facility_id: str) -> FacilityRow:
    row = None
    if request.user.facility_id in (None, facility_id):
        view = collaborators_of(request).read_models.facilities
        row = await asyncio.to_thread(view.get, key_of(facility_id))
    if row is None:
        raise Problem("not-found", "no such facility; list them at /api/facilities")
    return row


def _current(facility_id: str, value: CurrentValue | None, web: WebCollaborators) -> CurrentDocument:
    if value is None:
        return CurrentDocument(
            facility_id=facility_id, kw=None, measured_at=None, age_s=None, stale=True, source="none"
        )
    age_s = (web.clock.now() - value.measured_at).total_seconds()
    return CurrentDocument(
        facility_id=facility_id,
        kw=value.kw,
        measured_at=value.measured_at,
        age_s=age_s,
        stale=value.kw is None or age_s > STALE_AFTER_S,
        source="meters",
    )


def _window(first: datetime, last: datetime) -> TimeWindow:
    if first.tzinfo is None or last.tzinfo is None:
        raise Problem("invalid-request", "`from` and `to` are times with an offset, as 2026-07-14T21:00:00Z")
    if not timedelta(0) < last - first <= LONGEST_HISTORY:
        raise Problem("invalid-request", f"`to` comes after `from`, by at most {LONGEST_HISTORY.days} days")
    return TimeWindow(first.astimezone(UTC), last.astimezone(UTC))


def _steps(series: IntervalSeries, window: TimeWindow) -> tuple[HistoryStep, ...]:
    starts = series.starts(window)
    return tuple(
        HistoryStep(starts_at=start, kw=None if isnan(value) else float(value))
        for start, value in zip(starts, series.slice(window), strict=True)
    )
