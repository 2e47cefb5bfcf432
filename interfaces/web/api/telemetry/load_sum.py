"""Routes of summed loads: of the portfolio, and of a DR event with its forecast and measurement."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromPath, QueryParameter

from application.forecast.as_of import newest_at
from application.forecast.documents import StepDocument
from application.forecast.portfolio_forecast import (
    NoPortfolioForecast,
    measured_correlations,
    portfolio_forecast,
)
from application.telemetry.load_sum import SummedStep, summed
from domain.forecast import CYCLE, cycle_start_of
from domain.time_series.windows import TimeWindow
from interfaces.web.edge import WebDependencies, dependencies_of, edge_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of, visible_dr_event
from interfaces.web.requests.paging import Cursor, listing_of
from interfaces.web.route_policy import READER, READER_OR_UTILITY, RoutePolicy
from projections.as_of.measured_load import measured_loads
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.queries.views import MAX_PAGE_ROWS, all_rows

MOST_FACILITIES = 2_000
"""In one sum; no DR event has more."""
MOST_BY_MINUTES = 1_000
"""A DR event with more facilities is summed by quarter-hours."""
AROUND = timedelta(minutes=90)
"""Shown before and after the window."""
BY_MINUTES = timedelta(hours=4)
"""Windows up to this length are summed by minutes."""
_NOT_SERVING = frozenset({"failed", "aborted", "compensating", "compensated"})

Hours = Annotated[int, QueryParameter(ge=1, le=72, description="The last so many hours")]
Part = Annotated[
    int | None,
    QueryParameter(
        ge=1,
        le=MAX_PAGE_ROWS,
        description="The number of facilities in one part, by their ids; the parts add up",
    ),
]


class PortfolioLoadDocument(msgspec.Struct, frozen=True, kw_only=True):
    facilities: int
    step_s: int
    steps: tuple[SummedStep, ...]
    next_cursor: str | None = None
    """The beginning of the next part, if a part was requested."""


class MeasuredStepDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the facilities whose interval is complete; mean kW."""

    starts_at: datetime
    baseline_kw: float
    """Adjusted."""
    metered_kw: float
    delivered_kw: float
    facilities: int


class DREventLoadDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the facilities that serve; once some are measured, over those only, so that all series match."""

    dr_event_id: UUID
    facilities: int
    starts_at: datetime
    ends_at: datetime
    """The shown range: the window and some time around it."""
    step_s: int
    steps: tuple[SummedStep, ...]
    """Up to the current time."""
    forecast_at: datetime | None
    forecast: tuple[StepDocument, ...]
    """The forecast at the time of planning."""
    measured: tuple[MeasuredStepDocument, ...]


class PortfolioLoadController(Controller):
    path = "/api/portfolio/load"
    tags = ("portfolio",)

    @get(
        "/",
        summary="The summed load of all facilities",
        policy=RoutePolicy(roles=READER, cache="primary", projections=("facilities",)),
    )
    async def whole(
        self, request: ApiRequest, *, hours: Hours = 6, cursor: Cursor = None, limit: Part = None
    ) -> PortfolioLoadDocument:
        """By completed quarter-hours. More than 2,000 facilities are summed in parts: with `limit`, then `cursor`."""
        dependencies = dependencies_of(request)
        view, next_cursor = dependencies.read_models.facilities, None
        if limit is None and cursor is None:
            rows = await asyncio.to_thread(lambda: list(all_rows(view)))
        else:
            page = await asyncio.to_thread(
                listing_of, view, filters={}, tenant=None, cursor=cursor, limit=limit or MAX_PAGE_ROWS
            )
            rows, next_cursor = list(page.rows), page.next_cursor
        ids = [row.facility_id for row in rows if row.status != "deactivated"]
        last = cycle_start_of(dependencies.clock.now())
        window = TimeWindow(last - timedelta(hours=hours), last)
        step_s = int(CYCLE.total_seconds())
        return PortfolioLoadDocument(
            facilities=len(ids),
            step_s=step_s,
            steps=await _summed_loads(request, ids, window, step_s),
            next_cursor=next_cursor,
        )


class DREventLoadController(Controller):
    path = "/api/dr-events/{dr_event_id:uuid}/load"
    tags = ("DR events",)

    @get(
        "/",
        summary="The summed load of its facilities, with forecast and measurement",
        policy=RoutePolicy(roles=READER_OR_UTILITY, cache="stale", projections=("dr_events", "dispatches")),
    )
    async def one(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], as_of: AsOfQuery = None
    ) -> DREventLoadDocument:
        """With `as_of`, readings up to that time, as stored today: telemetry has no history."""
        past, dependencies = parse_as_of(as_of), dependencies_of(request)
        row, dispatches = await visible_dr_event(request, dr_event_id, past)
        if row.starts_at is None or row.ends_at is None:
            raise Problem("not-found", "it has no window (then): only its cancellation has arrived")
        parts = await asyncio.to_thread(lambda: list(all_rows(dispatches, dr_event_id=str(dr_event_id))))
        log = dependencies.stream_log
        facility_ids = [part.facility_id for part in parts]
        measured = await asyncio.to_thread(measured_loads, log, dr_event_id, facility_ids, past)
        serving = measured.facility_ids or _serving(row, parts)
        until = dependencies.clock.now()
        if past is not None:
            until = min(until, past if isinstance(past, datetime) else row.changed_at)
        shown = _around(TimeWindow(row.starts_at, row.ends_at))
        by_minutes = row.ends_at - row.starts_at <= BY_MINUTES and len(serving) <= MOST_BY_MINUTES
        step_s = 60 if by_minutes else int(CYCLE.total_seconds())
        planned_at = min(until, row.scheduled_at or row.accepted_at or row.opened_at)
        return DREventLoadDocument(
            dr_event_id=dr_event_id,
            facilities=len(serving),
            starts_at=shown.starts_at,
            ends_at=shown.ends_at,
            step_s=step_s,
            steps=await _summed_loads(request, serving, _over(shown, until, step_s), step_s),
            forecast_at=planned_at,
            forecast=await asyncio.to_thread(_foreseen, dependencies, serving, planned_at, shown.ends_at),
            measured=msgspec.convert(measured.steps, tuple[MeasuredStepDocument, ...], from_attributes=True),
        )


def _serving(row: DREventRow, parts: Collection[DispatchRow]) -> Collection[str]:
    """Facilities whose dispatch has not failed; before there are dispatches, all requested ones."""
    if not parts:
        return row.facility_ids
    return [part.facility_id for part in parts if part.status not in _NOT_SERVING]


def _around(window: TimeWindow) -> TimeWindow:
    return TimeWindow(cycle_start_of(window.starts_at - AROUND), cycle_start_of(window.ends_at + AROUND))


def _over(shown: TimeWindow, until: datetime, step_s: int) -> TimeWindow | None:
    """The steps of `shown` that are complete at `until`; None before the first."""
    steps = min(until, shown.ends_at) - shown.starts_at
    whole = timedelta(seconds=step_s) * int(steps / timedelta(seconds=step_s))
    return TimeWindow(shown.starts_at, shown.starts_at + whole) if whole > timedelta(0) else None


async def _summed_loads(
    request: ApiRequest, facility_ids: Collection[str], window: TimeWindow | None, step_s: int
) -> tuple[SummedStep, ...]:
    """The histories are requested concurrently, so that the store is read once."""
    if len(facility_ids) > MOST_FACILITIES:
        raise _too_many(len(facility_ids))
    if window is None:
        return ()
    histories = edge_of(request).histories
    loads = await asyncio.gather(*(histories.history(one, window, step_s) for one in sorted(facility_ids)))
    return summed([one.series for one in loads])


def _too_many(count: int) -> Problem:
    detail = (
        f"{count} facilities are too many for one sum, which has {MOST_FACILITIES} at most; of a portfolio ask for "
        f"parts, `?limit={MAX_PAGE_ROWS}` and then `&cursor=` with the `next_cursor` of each: the parts add up"
    )
    return Problem("invalid-request", detail, (ProblemReason(code="too_many_facilities", detail=detail),))


def _foreseen(
    dependencies: WebDependencies, facility_ids: Collection[str], at: datetime, ends_at: datetime
) -> tuple[StepDocument, ...]:
    ids = sorted(facility_ids)
    states = newest_at(dependencies.past_forecasts, ids, at)
    estimates = measured_correlations(dependencies.forecast_scores, at.date())
    try:
        document = portfolio_forecast(states.values(), ids, estimates, at)
    except NoPortfolioForecast:
        return ()
    return tuple(step for step in document.steps if step.starts_at < ends_at)
