"""The route of a DR event's summed load, with its forecast and measurement."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
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
from domain.forecast import CYCLE, cycle_start_of
from domain.time_series.windows import TimeWindow
from interfaces.web.api.telemetry.load_sum import summed_loads
from interfaces.web.edge import dependencies_of
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
    """The shown range: the window and some time around it."""
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
        self, request: ApiRequest, dr_event_id: FromPath[UUID], as_of: AsOfQuery = None
    ) -> DREventLoadDocument:
        """With `as_of`, readings up to that time, as stored today: telemetry has no history."""
        past, dependencies = parse_as_of(as_of), dependencies_of(request)
        row, dispatches = await visible_dr_event(request, dr_event_id, past)
        if row.starts_at is None or row.ends_at is None:
            raise Problem("not-found", "it has no window (then): only its cancellation has arrived")
        parts = await asyncio.to_thread(lambda: list(all_rows(dispatches, dr_event_id=str(dr_event_id))))
        facility_ids = [part.facility_id for part in parts]
        measured = await read_log(
            request, lambda log: measured_loads(log, dr_event_id, facility_ids, past), as_of=past
        )
        serving = _visible(request, row, measured.facility_ids or _serving(row, parts))
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
            steps=await summed_loads(request, serving, _over(shown, until, step_s), step_s),
            forecast_at=planned_at,
            forecast=await asyncio.to_thread(_foreseen, request, serving, planned_at, shown.ends_at),
            measured=msgspec.convert(measured.steps, tuple[MeasuredStepDocument, ...], from_attributes=True),
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


def _visible(request: ApiRequest, row: DREventRow, facility_ids: Collection[str]) -> Collection[str]:
    """A utility does not see the load of a facility that a DR event of another one has taken."""
    if request.user.utility_id is None:
        return facility_ids
    return [facility_id for facility_id in facility_ids if facility_id not in row.preempted_facilities]


def _around(window: TimeWindow) -> TimeWindow:
    return TimeWindow(cycle_start_of(window.starts_at - AROUND), cycle_start_of(window.ends_at + AROUND))


def _over(shown: TimeWindow, until: datetime, step_s: int) -> TimeWindow | None:
    """The steps of `shown` that are complete at `until`; None before the first."""
    steps = min(until, shown.ends_at) - shown.starts_at
    whole = timedelta(seconds=step_s) * int(steps / timedelta(seconds=step_s))
    return TimeWindow(shown.starts_at, shown.starts_at + whole) if whole > timedelta(0) else None


def _foreseen(
    request: ApiRequest, facility_ids: Collection[str], at: datetime, ends_at: datetime
) -> tuple[StepDocument, ...]:
    ids, dependencies = sorted(facility_ids), dependencies_of(request)
    states = newest_at(dependencies.past_forecasts, ids, at)
    try:
        document = portfolio_forecast(states.values(), ids, _correlations(request, at), at)
    except NoPortfolioForecast:
        return ()
    return tuple(step for step in document.steps if step.starts_at < ends_at)


def _correlations(request: ApiRequest, at: datetime) -> list[CorrelationEstimate]:
    """Measured over the whole portfolio, so a utility gets the assumed ones: others own facilities too."""
    if request.user.utility_id is not None:
        return assumed_correlations()
    return measured_correlations(dependencies_of(request).forecast_scores, at.date())
