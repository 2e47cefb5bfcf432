"""The contract in a program's entry: the terms that it states, and what is wrong with them.

What can never be measured is named by the same codes as at the door (domain/dr_event/feasibility.py).
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from application.facility.portfolio_entries import EnrolmentEntry, FacilityEntry, ProgramEntry
from domain.baseline import METHODS, BaselineParameters, InvalidBaselineRule, is_weekdays_only, rule_named
from domain.program import BaselineTerms, Terms, WindowTerms, lacks_service_level
from domain.program.measurability import FIRM_LEVEL
from domain.program.window import WEEKDAYS, WEEKEND, Hours
from domain.telemetry.intervals import INTERVAL_S, whole_intervals
from domain.units import decimal_string

DEFAULT_METHOD = ProgramEntry(program_id="a", utility_id="a").baseline_method
LOOK_BACK_S = 45 * 86_400


def terms_of_entry(entry: ProgramEntry) -> Terms:
    """The terms that an entry states; equal contracts give equal terms."""
    return Terms(
        rank=entry.rank,
        baseline=_baseline(entry),
        holidays=None if entry.holidays is None else tuple(sorted(set(entry.holidays))),
        clip_delivery=entry.clip_delivery,
        window=None if entry.window is None else _in_order(entry.window),
        notification_lead_s=entry.notification_lead_s,
        maximum_lead_s=entry.maximum_lead_s,
        prepare_lead_s=entry.prepare_lead_s,
        minimum_duration_s=entry.minimum_duration_s,
        maximum_duration_s=entry.maximum_duration_s,
        acceptable_share=entry.acceptable_share,
        shortfall_policy=entry.shortfall_policy,
        forecast_guardrail=entry.forecast_guardrail,
        two_phase=entry.two_phase,
        rate_per_kw=decimal_string(entry.rate_per_kw),
        rate_per_kwh=decimal_string(entry.rate_per_kwh),
        settlement=entry.settlement,
    )


def _baseline(entry: ProgramEntry) -> BaselineTerms:
    if entry.baseline is None:
        return BaselineTerms(method=entry.baseline_method)
    return BaselineTerms(method=entry.baseline.method, parameters=entry.baseline.parameters)


def _in_order(window: WindowTerms) -> WindowTerms:
    days = window.days
    return window if days is None else replace(window, days=tuple(day for day in WEEKDAYS if day in days))


def program_problems(entry: ProgramEntry, path: str, facilities: Collection[FacilityEntry]) -> Iterator[str]:
    """Faults of the terms of an entry of a portfolio with those facilities."""
    terms = terms_of_entry(entry)
    if entry.maximum_duration_s < entry.minimum_duration_s:
        yield f"{path}.maximum_duration_s: is shorter than minimum_duration_s"
    if entry.maximum_duration_s < INTERVAL_S:
        yield (
            f"{path}.maximum_duration_s: no_whole_interval: a DR event of less than {INTERVAL_S} s holds no whole "
            "quarter-hour, so it can never be measured"
        )
    if entry.maximum_lead_s is not None and entry.maximum_lead_s < entry.notification_lead_s:
        yield f"{path}.maximum_lead_s: is shorter than notification_lead_s, so no DR event can be notified"
    yield from _baseline_problems(entry, terms.baseline, path)
    if entry.window is not None:
        yield from _window_problems(entry.window, terms, f"{path}.window")
    yield from _settlement_problems(terms, f"{path}.settlement")
    is_enrolled = any(entry.program_id in facility.program_ids for facility in facilities)
    if lacks_service_level(terms.baseline, None) and not is_enrolled:
        yield (
            f"{path}.baseline.parameters.level_kw: no_service_level: {FIRM_LEVEL} needs a level; give it here, or "
            "as `level_kw` of each enrolment in the same file"
        )


def _baseline_problems(entry: ProgramEntry, baseline: BaselineTerms, path: str) -> Iterator[str]:
    method, parameters = baseline.method, baseline.parameters
    if entry.baseline is not None and entry.baseline_method not in {DEFAULT_METHOD, method}:
        yield f"{path}.baseline_method: contradicts baseline.method, {method}; leave it out"
    if method not in METHODS:
        where = "baseline_method" if entry.baseline is None else "baseline.method"
        yield f"{path}.{where}: there is no method {method}; use {', '.join(METHODS)}"
    elif not lacks_service_level(baseline, None):
        try:
            rule = rule_named(method, parameters)
        except InvalidBaselineRule as error:
            yield f"{path}.baseline.parameters: {error}"
            return
        plain = BaselineParameters(level_kw=0.0) if method == FIRM_LEVEL else BaselineParameters()
        if parameters != BaselineParameters() and method != FIRM_LEVEL and rule == rule_named(method, plain):
            yield f"{path}.baseline.parameters: change nothing for {method}, whose rule is fixed; leave them out"
    for name in ("before_s", "adjustment_from_s", "adjustment_until_s"):
        seconds = getattr(parameters, name)
        if not 0 <= seconds <= LOOK_BACK_S or seconds % INTERVAL_S:
            yield (
                f"{path}.baseline.parameters.{name}: no_whole_interval: must be a multiple of {INTERVAL_S} s of at "
                "most 45 days, since load is metered by quarter-hours"
            )


def _window_problems(window: WindowTerms, terms: Terms, path: str) -> Iterator[str]:
    if window.days == ():
        yield f"{path}.days: names no day; leave it out for every day"
    weekend = [day for day in window.days or () if day in WEEKEND]
    if weekend and is_weekdays_only(terms.baseline.method):
        yield (
            f"{path}.days: weekdays_only: the baseline {terms.baseline.method} has weekdays only, so a DR event on "
            f"{', '.join(weekend)} can never be measured"
        )
    if window.hours is not None:
        yield from _hours_problems(window.hours, terms, f"{path}.hours")


def _hours_problems(hours: Hours, terms: Terms, path: str) -> Iterator[str]:
    # Every UTC offset is a multiple of a quarter-hour, so any zone and any day without a clock change will do.
    on_a_day = hours.on(date(2026, 1, 15), ZoneInfo("UTC"))
    if whole_intervals(on_a_day.starts_at, on_a_day.ends_at) is None:
        yield (
            f"{path}: no_whole_interval: {hours.from_} to {hours.to} holds no whole quarter-hour, so a DR event can "
            "never be measured"
        )
    if on_a_day.duration_s < terms.minimum_duration_s:
        yield f"{path}: {hours.from_} to {hours.to} is shorter than minimum_duration_s"


def _settlement_problems(terms: Terms, path: str) -> Iterator[str]:
    rule = terms.settlement
    if rule is None:
        return
    if rule.interval_s % INTERVAL_S:
        yield (
            f"{path}.interval_s: no_whole_interval: must be a multiple of {INTERVAL_S} s, since load is metered by "
            "quarter-hours"
        )
    for problem in rule.problems():
        yield f"{path}.{problem.path}: {problem.code}: {problem.detail}"


def enrolment_problems(
    facility: FacilityEntry, path: str, programs: Mapping[str, Terms | None]
) -> Iterator[str]:
    """Faults of the enrolments of a facility, where the terms of their programs are known."""
    for number, enrolment in enumerate(facility.enrolments):
        place = f"{path}.programs[{number}]"
        terms = programs.get(enrolment.program_id)
        if enrolment.program_id not in programs:
            yield f"{path}.programs: there is no program {enrolment.program_id}"
        elif terms is not None:
            yield from _enrolment_problems(facility, enrolment, terms, place)


def _enrolment_problems(
    facility: FacilityEntry, enrolment: EnrolmentEntry, terms: Terms, path: str
) -> Iterator[str]:
    level_kw = None if enrolment.level_kw is None else decimal_string(enrolment.level_kw)
    if lacks_service_level(terms.baseline, level_kw):
        yield (
            f"{path}.level_kw: no_service_level: {enrolment.program_id} has the baseline {FIRM_LEVEL}, and neither "
            "it nor this enrolment has a level"
        )
    if level_kw is not None and terms.baseline.method != FIRM_LEVEL:
        yield (
            f"{path}.level_kw: changes nothing: the baseline of {enrolment.program_id} is {terms.baseline.method}; "
            "leave it out"
        )
    if terms.maximum_lead_s is not None and facility.notification_lead_s > terms.maximum_lead_s:
        yield (
            f"{path}: the facility wants {facility.notification_lead_s} s of notice, and {enrolment.program_id} "
            f"allows at most {terms.maximum_lead_s} s"
        )
