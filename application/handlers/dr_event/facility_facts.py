"""The facts about a facility for judging and planning, from its aggregate and its forecast."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache, partial
from math import fsum
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from application.command_bus.decision_context import DecisionContext
from application.ports.forecast.forecast_book import IssuedForecast
from domain.allocation.zone_offers import fitting_zones
from domain.dr_event import Notice
from domain.dr_event.feasibility import FacilityFacts, HeldWindow
from domain.facility import Facility, FacilityState, Zone
from domain.forecast import quality_at
from domain.time_series.windows import TimeWindow, local_date, local_day


def facts_of(
    dr_event_id: UUID, notice: Notice, facilities: Mapping[str, Facility], context: DecisionContext
) -> dict[str, FacilityFacts]:
    """The facts of each facility. Capacity comes from the forecast where its horizon suffices, else from the
    declared limits."""
    forecasts = context.forecasts.newest_of(tuple(facilities), at=context.now)
    duration_s = (notice.ends_at - notice.starts_at).total_seconds()
    calendar_in = cache(partial(_calendar, notice.starts_at))  # most facilities share a time zone
    facts = {}
    for facility_id, facility in facilities.items():
        forecast = forecasts.get(facility_id)
        forecast_kw = lowest_load_kw(forecast, max(notice.starts_at, context.now), notice.ends_at)
        declared_kw = zones_kw(fitting_zones(facility.state.zones.values(), duration_s))
        quality = None
        if forecast is not None and forecast_kw is not None:
            declared_kw = min(declared_kw, forecast_kw)
            quality = quality_at(forecast.data_quality, forecast.cycle_start, context.now)
        facts[facility_id] = _facts(
            dr_event_id, notice, facility.state, declared_kw, quality, calendar=calendar_in(facility.state.tz)
        )
    return facts


def lowest_load_kw(forecast: IssuedForecast | None, starts_at: datetime, ends_at: datetime) -> float | None:
    """The lowest median load forecast inside the window; None where the forecast does not cover it."""
    if forecast is None:
        return None
    quantiles = forecast.quantiles
    step = timedelta(seconds=quantiles.step_s)
    first = (starts_at - quantiles.starts_at) // step
    last = -((quantiles.starts_at - ends_at) // step)  # the first step that begins at the end or later
    if not 0 <= first < last <= len(quantiles.p50_kw):
        return None
    return max(0.0, min(quantiles.p50_kw[first:last]))


def zones_kw(zones: Iterable[Zone]) -> float:
    """The declared shed of the zones together."""
    return fsum(zone.curtailable_kw for zone in zones)


class _Calendar(NamedTuple):
    """The day and the season of a window's start; a season is a calendar year of the facility."""

    day: TimeWindow
    season: TimeWindow


def _calendar(starts_at: datetime, tz_name: str) -> _Calendar:
    tz = ZoneInfo(tz_name)
    day = local_date(starts_at, tz)
    first, last = (local_day(day.replace(month=m, day=d), tz) for m, d in ((1, 1), (12, 31)))
    return _Calendar(local_day(day, tz), TimeWindow(first.starts_at, last.ends_at))


def _facts(
    dr_event_id: UUID,
    notice: Notice,
    state: FacilityState,
    capacity_kw: float,
    quality: str | None,
    *,
    calendar: _Calendar,
) -> FacilityFacts:
    own = str(dr_event_id)
    season, that_day = calendar.season, calendar.day
    in_season = [
        start
        for key, start in state.served.items()
        if season.starts_at <= start < season.ends_at and key != own
    ]
    limits = state.limits
    return FacilityFacts(
        facility_id=state.facility_id,
        status=state.status,
        enrolled=notice.program_id in state.programs,
        capacity_kw=capacity_kw,
        opted_out=state.opted_out_of_this(dr_event_id),
        not_restored=state.awaits_restore_of_other(dr_event_id),
        capacity_source="declared" if quality is None else "forecast",
        data_quality=quality,
        reservations=tuple(
            HeldWindow(held.dr_event_id, TimeWindow(held.starts_at, held.ends_at))
            for held in state.reservations.values()
            if held.starts_at < notice.ends_at and notice.starts_at < held.ends_at
        ),
        dr_events_that_day=sum(map(that_day.contains, in_season)),
        dr_events_that_season=len(in_season),
        dr_events_per_day=limits.dr_events_per_day if limits else 1_000,
        dr_events_per_season=limits.dr_events_per_season if limits else 100_000,
        longest_dr_event_s=float(limits.longest_dr_event_s) if limits else 86_400.0,
        notification_lead_s=float(limits.notification_lead_s) if limits else 0.0,
    )
