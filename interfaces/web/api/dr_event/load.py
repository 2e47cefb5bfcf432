"""The route of a DR event's summed load, with its forecast and measurement."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.params import FromPath

from application.forecast.as_of import newest_at
from application.forecast.documents import StepDocument
from application.forecast.portfolio_forecast import (
    CorrelationEstimate,
    NoPortfolioForecast,
    assumed_correlations,
    measured_correlations,
    portfolio_forecast,
)
from application.telemetry.load_sum import SummedStep
from domain.event_sourcing.decoders import converted
from domain.forecast import CYCLE, cycle_start_of
from domain.time_series.windows import TimeWindow
from interfaces.web.api.telemetry.load_sum import summed_loads
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from interfaces.web.requests.as_of import AsOfQuery, parse_as_of, read_log, visible_dr_event
from interfaces.web.route_policy import READER_OR_UTILITY, RoutePolicy
from projections.as_of.measured_load import measured_loads
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.queries.views import all_rows

MOST_BY_MINUTES = 1_000
"""A DR event with more facilities is summed by quarter-hours."""
AROUND = timedelta(minutes=90)
"""Shown before and after the window."""
BY_MINUTES = timedelta(hours=4)
"""Windows up to this length are summed by minutes."""
_NOT_SERVING = frozenset({"failed", "aborted", "compensating", "compensated"})
_LEFT = frozenset({"opted_out", "preempted", "left_out"})
"""Causes for which one facility leaves, while the DR event goes on without it."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class MeasuredStepDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the facilities whose interval is complete; mean kW."""

    starts_at: datetime
    baseline_kw: float
    """Adjusted."""
    metered_kw: float
    delivered_kw: float
    facilities: int


class DREventLoadDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the facilities that serve; once some are measured, over those only, so that all series match.

    Of a DR event that was never accepted, the window without any load.
    """

    dr_event_id: UUID
    facilities: int
    starts_at: datetime
    ends_at: datetime
    """The shown range: the window and some time around it; for a utility the window only."""
    step_s: int
    steps: tuple[SummedStep, ...]
    """Up to the current time."""
    forecast_at: datetime | None
    forecast: tuple[StepDocument, ...]
    """The forecast at the time of planning."""
    measured: tuple[MeasuredStepDocument, ...]


class DREventLoadController(Controller):
    path = "/api/dr-events/{dr_event_id:uuid}/load"
    tags = ("DR events",)

    @get(
        "/",
        summary="The summed load of its facilities, with forecast and measurement",
        policy=RoutePolicy(roles=READER_OR_UTILITY, cache="stale", projections=("dr_events", "dispatches")),
    )
    async def one(
        self, request: ApiRequest, web: Web, dr_event_id: FromPath[UUID], as_of: AsOfQuery = None
    ) -> DREventLoadDocument:
        """With `as_of`, readings up to that time, as stored today: telemetry has no history."""
        past = parse_as_of(as_of)
        row, dispatches = await visible_dr_event(request, dr_event_id, past)
        if row.starts_at is None or row.ends_at is None:
            raise Problem("not-found", "it has no window (then): only its cancellation has arrived")
        parts = await asyncio.to_thread(lambda: list(all_rows(dispatches, dr_event_id=str(dr_event_id))))
        hidden = _hidden(request, row, parts)
        facility_ids = [part.facility_id for part in parts if part.facility_id not in hidden]
        measured = await read_log(
            request, lambda log: measured_loads(log, dr_event_id, facility_ids, past), as_of=past
        )
        serving = [one for one in measured.facility_ids or _serving(row, parts) if one not in hidden]
        until, shown = web.clock.now(), TimeWindow(row.starts_at, row.ends_at)
        if past is not None:
            until = min(until, past if isinstance(past, datetime) else row.changed_at)
        if request.user.utility_id is None:
            shown = _around(shown)
        elif row.released_at is not None:
            until = min(until, row.released_at)
        by_minutes = row.ends_at - row.starts_at <= BY_MINUTES and len(serving) <= MOST_BY_MINUTES
        step_s = 60 if by_minutes else int(CYCLE.total_seconds())
        planned_at = min(until, row.scheduled_at or row.accepted_at or row.opened_at)
        return DREventLoadDocument(
            dr_event_id=dr_event_id,
            facilities=len(serving),
            starts_at=shown.starts_at,
            ends_at=shown.ends_at,
            step_s=step_s,
            steps=await summed_loads(web, serving, _over(shown, until, step_s), step_s),
            forecast_at=planned_at,
            forecast=await asyncio.to_thread(_foreseen, request, web, serving, planned_at, shown),
            measured=converted(measured.steps, tuple[MeasuredStepDocument, ...], from_attributes=True),
        )


def _serving(row: DREventRow, parts: Collection[DispatchRow]) -> Collection[str]:
    """Facilities whose dispatch has not failed; before there are dispatches, all requested ones.

    None of a DR event that was never accepted: its request may name any facility, also those of other utilities.
    """
    if row.accepted_at is None:
        return ()
    if not parts:
        return row.facility_ids
    return [part.facility_id for part in parts if part.status not in _NOT_SERVING]


def _hidden(request: ApiRequest, row: DREventRow, parts: Collection[DispatchRow]) -> Collection[str]:
    """A utility does not see the load of a facility that does not serve it, and may serve another one instead."""
    if request.user.utility_id is None:
        return ()
    if row.status == "cancelled":
        return {*row.facility_ids, *(part.facility_id for part in parts)}
    free = (part.facility_id for part in parts if part.left in _LEFT or part.status in _NOT_SERVING)
    return {*row.preempted_facilities, *row.opted_out_facilities, *free}


def _around(window: TimeWindow) -> TimeWindow:
    return TimeWindow(cycle_start_of(window.starts_at - AROUND), cycle_start_of(window.ends_at + AROUND))


def _over(shown: TimeWindow, until: datetime, step_s: int) -> TimeWindow | None:
    """The steps that are inside `shown` and complete at `until`; None before the first."""
    step = timedelta(seconds=step_s)
    first = shown.starts_at + (_EPOCH - shown.starts_at) % step
    whole = (min(until, shown.ends_at) - first) // step
    return TimeWindow(first, first + whole * step) if whole > 0 else None


def _foreseen(
    request: ApiRequest, web: WebDependencies, facility_ids: Collection[str], at: datetime, shown: TimeWindow
) -> tuple[StepDocument, ...]:
    ids = sorted(facility_ids)
    states = newest_at(web.past_forecasts, ids, at)
    try:
        document = portfolio_forecast(states.values(), ids, _correlations(request, web, at), at)
    except NoPortfolioForecast:
        return ()
    return tuple(
        step for step in document.steps if step.starts_at < shown.ends_at and shown.starts_at < step.ends_at
    )


def _correlations(request: ApiRequest, web: WebDependencies, at: datetime) -> list[CorrelationEstimate]:
    """Measured over the whole portfolio, so a utility gets the assumed ones: others own facilities too."""
    if request.user.utility_id is not None:
        return assumed_correlations()
    return measured_correlations(web.forecast_scores, at.date())
