"""What judging and planning need to know of a facility, collected from its aggregate and its forecast."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import fsum
from uuid import UUID
from zoneinfo import ZoneInfo

from application.deciding import Deciding
from application.ports.forecast_book import IssuedForecast
from domain.dr_event import Notice
from domain.facility import Facility, FacilityState, Zone
from domain.feasibility import FacilityFacts, HeldWindow
from domain.forecast import quality_at
from domain.time_windows import TimeWindow, local_date


def facts_of(
    dr_event_id: UUID, notice: Notice, facilities: Mapping[str, Facility], deciding: Deciding
) -> dict[str, FacilityFacts]:
    """Capacity comes from the forecast where its horizon reaches, else from the declared limits."""
    forecasts = deciding.forecasts.newest_of(tuple(facilities), at=deciding.now)
    facts = {}
    for facility_id, facility in facilities.items():
        forecast = forecasts.get(facility_id)
        forecast_kw = lowest_load_kw(forecast, notice.starts_at, notice.ends_at)
        declared_kw = zones_kw(facility.state.zones.values())
        quality = None
        if forecast is not None and forecast_kw is not None:
            declared_kw = min(declared_kw, forecast_kw)
            quality = quality_at(forecast.data_quality, forecast.cycle_start, deciding.now)
        facts[facility_id] = _facts(dr_event_id, notice, facility.state, declared_kw, quality)
    return facts


def lowest_load_kw(forecast: IssuedForecast | None, starts_at: datetime, ends_at: datetime) -> float | None:
    """The lowest median load forecast inside the window; None where the forecast does not reach over it."""
    if forecast is None:
        return None
    inside = [step for step in forecast.steps if step.starts_at < ends_at and starts_at < step.ends_at]
    if not inside or inside[0].starts_at > starts_at or inside[-1].ends_at < ends_at:
        return None
    return max(0.0, min(step.p50_kw for step in inside))


def zones_kw(zones: Iterable[Zone]) -> float:
    """What the zones together are declared to shed."""
    return fsum(zone.curtailable_kw for zone in zones)


def _facts(
    dr_event_id: UUID, notice: Notice, state: FacilityState, capacity_kw: float, quality: str | None
) -> FacilityFacts:
    tz = ZoneInfo(state.tz)
    starts = [start for key, start in state.served.items() if key != str(dr_event_id)]
    limits = state.limits
    return FacilityFacts(
        facility_id=state.facility_id,
        status=state.status,
        enrolled=notice.program_id in state.programs,
        capacity_kw=capacity_kw,
        capacity_source="declared" if quality is None else "forecast",
        data_quality=quality,
        reservations=tuple(
            HeldWindow(held.dr_event_id, TimeWindow(held.starts_at, held.ends_at))
            for held in state.reservations.values()
        ),
        dr_events_that_day=sum(local_date(at, tz) == local_date(notice.starts_at, tz) for at in starts),
        # A season is a calendar year of the facility.
        dr_events_that_season=sum(
            local_date(at, tz).year == local_date(notice.starts_at, tz).year for at in starts
        ),
        dr_events_per_day=limits.dr_events_per_day if limits else 1_000,
        dr_events_per_season=limits.dr_events_per_season if limits else 100_000,
        longest_dr_event_s=float(limits.longest_dr_event_s) if limits else 86_400.0,
        notification_lead_s=float(limits.notification_lead_s) if limits else 0.0,
    )
