"""The facts about a facility for judging and planning: from its aggregate, its forecast and the program's contract."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import cache, partial
from math import fsum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from application.command_bus.decision_context import DecisionContext
from application.ports.forecast.forecast_book import IssuedForecast
from domain.allocation.zone_offers import fitting_zones
from domain.dr_event import DREvent, Notice
from domain.dr_event.feasibility import FacilityFacts, HeldWindow, RefusalCode
from domain.facility import Enrolment, Facility, FacilityState, Limits, Reservation, Zone
from domain.forecast import quality_at
from domain.identifiers import program_stream_id
from domain.program import Program, Terms, ViolationCode, violations
from domain.time_series.windows import TimeWindow, local_date, local_day

_NO_LIMITS = Limits(
    dr_events_per_day=1_000, dr_events_per_season=100_000, longest_dr_event_s=86_400, notification_lead_s=0
)
"""Of a facility with which nothing was agreed."""
_NOTHING_AGREED = Enrolment()


def facilities_of_utility(
    facilities: Mapping[str, Facility], utility_id: str, program_id: str, context: DecisionContext
) -> dict[str, Facility]:
    """The facilities that are enrolled in a program of the utility. Others do not exist for it.

    `program_id` is one of its programs; the others are loaded at once, and only if they are needed.
    """
    elsewhere = [f.state.programs for f in facilities.values() if program_id not in f.state.programs]
    streams = [program_stream_id(one) for one in sorted(frozenset().union(*elsewhere))]
    loaded = context.store.load_many(Program, streams).values() if streams else ()
    own = {found.state.program_id for found in loaded if found.state.utility_id == utility_id} | {program_id}
    return {i: facility for i, facility in facilities.items() if not own.isdisjoint(facility.state.programs)}


def facts_of(
    dr_event: DREvent,
    notice: Notice,
    terms: Terms,
    facilities: Mapping[str, Facility],
    context: DecisionContext,
    *,
    start_stands: bool,
    wanted: Reservation,
) -> dict[str, FacilityFacts]:
    """The facts of each facility. Capacity comes from the forecast where its horizon suffices, else from the
    declared limits."""
    forecasts = context.forecasts.newest_of(tuple(facilities), at=context.now)
    duration_s = (notice.ends_at - notice.starts_at).total_seconds()
    calendar_in = cache(partial(_calendar, notice.starts_at))  # most facilities share a time zone
    violations_at = _contract_check(dr_event, notice, terms, context, start_stands=start_stands)
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
            dr_event,
            notice,
            facility.state,
            declared_kw,
            quality,
            wanted=wanted,
            calendar=calendar_in(facility.state.tz_at(notice.starts_at)),
            against=violations_at(facility.state),
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
    dr_event: DREvent,
    notice: Notice,
    state: FacilityState,
    capacity_kw: float,
    quality: str | None,
    *,
    wanted: Reservation,
    calendar: _Calendar,
    against: dict[RefusalCode, str],
) -> FacilityFacts:
    this, utility_id = str(dr_event.id), dr_event.state.utility_id
    season, that_day = calendar.season, calendar.day
    in_season = {
        key: start
        for key, start in state.served.items()
        if season.starts_at <= start < season.ends_at and key != this
    }
    not_restored = [state.is_of(utility_id, key) for key in state.not_restored_from - {this}]
    limits = state.limits or _NO_LIMITS
    in_day = sum(map(that_day.contains, in_season.values()))
    of_others: list[datetime] = []
    if in_day >= limits.dr_events_per_day or len(in_season) >= limits.dr_events_per_season:
        of_others = [start for key, start in in_season.items() if not state.is_of(utility_id, key)]
    return FacilityFacts(
        facility_id=state.facility_id,
        status=state.status,
        enrolled=notice.program_id in state.programs,
        capacity_kw=capacity_kw,
        opted_out=state.opted_out_of_this(dr_event.id),
        not_restored=any(not_restored),
        not_restored_of_others=not all(not_restored),
        capacity_source="declared" if quality is None else "forecast",
        data_quality=quality,
        reservations=tuple(
            HeldWindow(
                held.dr_event_id,
                TimeWindow(held.starts_at, held.ends_at),
                own=state.is_of(utility_id, held.dr_event_id),
            )
            for held in state.reservations.values()
            if held.excludes(wanted) and notice.starts_at < notice.ends_at
        ),
        dr_events_that_day=in_day,
        dr_events_that_season=len(in_season),
        of_others_that_day=sum(map(that_day.contains, of_others)),
        of_others_that_season=len(of_others),
        dr_events_per_day=limits.dr_events_per_day,
        dr_events_per_season=limits.dr_events_per_season,
        longest_dr_event_s=float(limits.longest_dr_event_s),
        notification_lead_s=float(limits.notification_lead_s),
        violations=against,
    )


def _contract_check(
    dr_event: DREvent, notice: Notice, terms: Terms, context: DecisionContext, *, start_stands: bool
) -> Callable[[FacilityState], dict[RefusalCode, str]]:
    """The check of the window at a facility against the contract of the program.

    A facility that the DR event has reserved was judged when it was accepted: while the start stands, a change is not
    refused for its day, and only a later end is judged by the hours.
    """
    if notice.ends_at <= notice.starts_at:
        return lambda _: {}
    window = TimeWindow(notice.starts_at, notice.ends_at)

    @cache  # most facilities have the same calendar
    def of_calendar(tz: str, region: str | None, level_kw: str | None) -> dict[ViolationCode, str]:
        zone = ZoneInfo(tz)
        public = partial(_public_holidays, tz, region, local_date(window.starts_at, zone), context)
        return violations(terms, window, tz=zone, public_holidays=public, level_kw=level_kw)

    def at(state: FacilityState) -> dict[RefusalCode, str]:
        held = state.reservations.get(str(dr_event.id)) if start_stands else None
        if held is not None and notice.ends_at <= held.ends_at:
            return {}
        tz = state.tz_at(window.starts_at)
        region = state.region_on(local_date(window.starts_at, ZoneInfo(tz)))
        enrolment = state.enrolments.get(notice.program_id, _NOTHING_AGREED)
        found = of_calendar(tz, region, enrolment.level_kw)
        return {code: detail for code, detail in found.items() if held is None or code == "outside_hours"}

    return at


def _public_holidays(tz: str, region: str | None, day: date, context: DecisionContext) -> frozenset[date]:
    """The public holidays of the facility's region. A window may reach into the next year.

    The first look at public holidays loads the calendars, which takes longer than a notification may.
    """
    if (calendar := context.public_holidays) is None:
        return frozenset()
    return calendar.in_years(calendar.region_of(tz, region), day.year - 1, day.year + 1)
