"""The contract of a program against the window of a DR event, at each facility."""

from collections.abc import Mapping
from datetime import date
from functools import cache
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from application.command_bus.decision_context import DecisionContext
from domain.dr_event import DREvent, Notice
from domain.dr_event.feasibility import FacilityFacts
from domain.facility import Enrolment, Facility
from domain.program import Terms, ViolationCode, depends_on_holidays, violations
from domain.time_series.windows import TimeWindow, local_date

NOTHING_AGREED = Enrolment()


def with_violations(
    facts: Mapping[str, FacilityFacts],
    dr_event: DREvent,
    notice: Notice,
    terms: Terms,
    *,
    facilities: Mapping[str, Facility],
    context: DecisionContext,
    start_stands: bool,
) -> dict[str, FacilityFacts]:
    """The facts with what the contract has against them.

    A facility that the DR event has reserved was judged when it was accepted: while the start stands, a change is not
    refused for its day, and only a later end is judged by the hours.
    """
    if notice.ends_at <= notice.starts_at:
        return dict(facts)
    window = TimeWindow(notice.starts_at, notice.ends_at)

    @cache  # most facilities have the same calendar
    def violations_at(tz: str, region: str | None, level_kw: str | None) -> dict[ViolationCode, str]:
        zone = ZoneInfo(tz)
        holidays = _holidays(terms, tz, region, local_date(window.starts_at, zone), context)
        return violations(terms, window, tz=zone, holidays=holidays, level_kw=level_kw)

    checked = dict(facts)
    for facility_id, one in facts.items():
        state = facilities[facility_id].state
        held = state.reservations.get(str(dr_event.id)) if start_stands else None
        if held is not None and notice.ends_at <= held.ends_at:
            continue
        tz = state.tz_at(window.starts_at)
        region = state.region_on(local_date(window.starts_at, ZoneInfo(tz)))
        enrolment = state.enrolments.get(notice.program_id, NOTHING_AGREED)
        found = violations_at(tz, region, enrolment.level_kw)
        if held is not None:
            found = {code: detail for code, detail in found.items() if code == "outside_hours"}
        checked[facility_id] = replace(one, violations=found)
    return checked


def _holidays(
    terms: Terms, tz: str, region: str | None, day: date, context: DecisionContext
) -> frozenset[date]:
    """Those of the program, else the public ones of the facility's region. A window may reach into the next year.

    The first look at public holidays loads the calendars, which takes longer than a notification may.
    """
    if not depends_on_holidays(terms):
        return frozenset()
    if terms.holidays is not None:
        return frozenset(terms.holidays)
    if (calendar := context.public_holidays) is None:
        return frozenset()
    return calendar.in_years(calendar.region_of(tz, region), day.year - 1, day.year + 1)
