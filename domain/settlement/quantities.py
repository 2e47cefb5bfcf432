"""Energy of a settlement: what each facility committed and delivered, and what of it counts (numbers 1 to 5 of the
note in docs/settlement.md).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

import msgspec

from domain.program.settlement_rule import Delivered, Missing, Results, SettlementRule
from domain.settlement.inputs import (
    EndedEvent,
    EventFacility,
    MeteringStep,
    Part,
    StepWindow,
    committed_at_steps,
    event_window,
    facility_window,
)
from domain.settlement.rounding import Exact, Rounding, exact

LeftOut = Literal["coverage", "baseline", "opted_out", "failed", "excused", "no_window"]
ZERO = Fraction(0)
PORTFOLIO = "portfolio"


class FacilityInterval(msgspec.Struct, frozen=True, kw_only=True):
    """One facility's part of a settlement interval; `delivered_kw` None: left out, since nothing of it is known."""

    starts_at: datetime
    steps: int
    known_steps: int
    committed_kw: Exact
    delivered_kw: Exact | None


class FacilityQuantities(msgspec.Struct, frozen=True, kw_only=True):
    """What one facility committed and delivered. `reason`: why it does not count; None: it counts."""

    facility_id: str
    result: str
    reason: LeftOut | None
    coverage: Exact = ZERO
    intervals: tuple[FacilityInterval, ...] = ()
    steps: tuple[MeteringStep, ...] = ()
    committed_kwh: Exact = ZERO
    delivered_kwh: Exact = ZERO
    shortfall_kwh: Exact = ZERO


class UnitInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement interval of what is settled together; kW."""

    starts_at: datetime
    hours: Exact
    committed_kw: Exact
    delivered_kw: Exact
    counted_kw: Exact


class UnitQuantities(msgspec.Struct, frozen=True, kw_only=True):
    """What is settled together: a facility, or the portfolio. `ratio` None: nothing is committed."""

    unit: str
    intervals: tuple[UnitInterval, ...]
    committed_kwh: Exact
    counted_kwh: Exact
    hours: Exact
    ratio: Exact | None


def rounding_of(rule: SettlementRule) -> Rounding:
    performance = rule.performance
    places = 4 if performance is None else performance.places
    return Rounding(rule.rounding, places, rule.minor_unit)


def facility_quantities(
    rule: SettlementRule,
    dr_event: EndedEvent,
    facility: EventFacility,
    steps: Sequence[MeteringStep],
    step_s: int,
) -> FacilityQuantities:
    """`rule` is that of the event's kind. `steps`: those that are known of the facility, of any window."""
    results = rule.results or Results()
    found = FacilityQuantities(facility_id=facility.facility_id, result=facility.result, reason=None)
    if (reason := _left_out(facility, results, event_window(dr_event, step_s))) is not None:
        return msgspec.structs.replace(found, reason=reason)
    window = facility_window(dr_event, facility, results.opted_out, step_s)
    if not window.count:
        return msgspec.structs.replace(found, reason="no_window")
    of_start = {step.starts_at: step for step in steps}
    own = [
        of_start.get(start, MeteringStep(starts_at=start, adjusted_kw=None, metered_kw=None))
        for start in window.starts()
    ]
    delivered = _delivered(rule.delivered or Delivered(), facility, window, own)
    known = sum(1 for kw in delivered if kw is not None)
    found = msgspec.structs.replace(found, steps=tuple(own), coverage=Fraction(known, window.count))
    if not known or found.coverage < exact((rule.missing or Missing()).min_coverage):
        without = not known and all(step.adjusted_kw is None for step in own)
        return msgspec.structs.replace(found, reason="baseline" if without else "coverage")
    begin = event_window(dr_event, step_s).starts_at
    intervals = _intervals(
        rule, begin, window, committed_at_steps(facility, window.starts(), step_s), delivered
    )
    return _with_intervals(rounding_of(rule), found, intervals, step_s)


def _left_out(facility: EventFacility, results: Results, window: StepWindow) -> LeftOut | None:
    if facility.result == "excused":
        return "excused"
    if facility.result == "failed" and results.failed == "excused":
        return "failed"
    if facility.result == "opted_out" and results.opted_out == "excused":
        left_at = facility.opted_out_at
        if left_at is None or left_at <= window.starts_at:
            return "opted_out"
    return None


def _delivered(
    rule: Delivered, facility: EventFacility, window: StepWindow, steps: Sequence[MeteringStep]
) -> list[Exact | None]:
    """D_i of each step, kW; None: unknown."""
    zero_from = _zero_from(facility, window)
    delivered: list[Exact | None] = []
    for step in steps:
        if zero_from is not None and step.starts_at + window.step > zero_from:
            delivered.append(ZERO)
        elif step.adjusted_kw is None or step.metered_kw is None:
            delivered.append(None)
        else:
            metered = exact(step.metered_kw)
            if rule.export == "to_zero":
                metered = max(ZERO, metered)
            delivered.append(exact(step.adjusted_kw) - metered)
    return delivered


def _zero_from(facility: EventFacility, window: StepWindow) -> datetime | None:
    """From when on a facility that failed or opted out counts 0: the step of that moment does."""
    if facility.result == "failed":
        return window.starts_at
    if facility.result == "opted_out":
        return facility.opted_out_at or window.starts_at
    return None


def _intervals(
    rule: SettlementRule,
    begin: datetime,
    window: StepWindow,
    committed: Sequence[Sequence[Part]],
    delivered: Sequence[Exact | None],
) -> tuple[FacilityInterval, ...]:
    """Blocks of `interval_s` from `begin`, the start of the event's window, of the facility's own steps."""
    rounding, block = rounding_of(rule), timedelta(seconds=rule.interval_s)
    of_block: dict[int, list[int]] = {}
    for index, start in enumerate(window.starts()):
        of_block.setdefault((start - begin) // block, []).append(index)
    intervals = []
    for number, at in of_block.items():
        values = [kw for index in at if (kw := delivered[index]) is not None]
        intervals.append(
            FacilityInterval(
                starts_at=begin + number * block,
                steps=len(at),
                known_steps=len(values),
                committed_kw=rounding.energy(_weighted(part for index in at for part in committed[index])),
                delivered_kw=_mean(values, rule.missing or Missing(), rounding),
            )
        )
    return tuple(intervals)


def _weighted(parts: Iterable[Part]) -> Exact:
    """What was committed, kW, weighted by time."""
    seconds = energy = ZERO
    for part in parts:
        seconds += exact(part.seconds)
        energy += exact(part.seconds) * exact(part.kw)
    return energy / seconds


def _with_intervals(
    rounding: Rounding, found: FacilityQuantities, intervals: tuple[FacilityInterval, ...], step_s: int
) -> FacilityQuantities:
    """`found` with its intervals and their energy, of those that are not left out."""
    committed = delivered = shortfall = ZERO
    for one in intervals:
        if one.delivered_kw is not None:
            hours = Fraction(one.steps * step_s, 3600)
            committed += one.committed_kw * hours
            delivered += one.delivered_kw * hours
            shortfall += max(ZERO, one.committed_kw - one.delivered_kw) * hours
    return msgspec.structs.replace(
        found,
        intervals=intervals,
        committed_kwh=rounding.energy(committed),
        delivered_kwh=rounding.energy(delivered),
        shortfall_kwh=rounding.energy(shortfall),
    )


def _mean(values: Sequence[Exact], missing: Missing, rounding: Rounding) -> Exact | None:
    if values:
        return rounding.energy(_sum(values) / len(values))
    return ZERO if missing.as_ == "zero" else None


def _sum(values: Iterable[Exact]) -> Exact:
    return sum(values, ZERO)


def unit_quantities(
    rule: SettlementRule, dr_event: EndedEvent, facilities: Sequence[FacilityQuantities], step_s: int
) -> list[UnitQuantities]:
    """The units of a rule's level, of the facilities that count."""
    counted = [one for one in facilities if one.reason is None]
    if rule.level == "facility":
        return [_unit(rule, one.facility_id, _own_intervals(one, step_s)) for one in counted]
    return [_unit(rule, PORTFOLIO, _summed(rule, dr_event, counted, step_s))] if counted else []


_Raw = tuple[datetime, Exact, Exact, Exact]
"""Start, hours, committed and delivered kW of an interval."""


def _own_intervals(facility: FacilityQuantities, step_s: int) -> list[_Raw]:
    return [
        (one.starts_at, Fraction(one.steps * step_s, 3600), one.committed_kw, one.delivered_kw)
        for one in facility.intervals
        if one.delivered_kw is not None
    ]


def _summed(
    rule: SettlementRule, dr_event: EndedEvent, facilities: Sequence[FacilityQuantities], step_s: int
) -> list[_Raw]:
    """Number 3 of the note: a facility whose interval is left out is left out of both sums."""
    rounding, window = rounding_of(rule), event_window(dr_event, step_s)
    block = timedelta(seconds=rule.interval_s)
    of_start: dict[datetime, list[FacilityInterval]] = {}
    for facility in facilities:
        for one in facility.intervals:
            if one.delivered_kw is not None:
                of_start.setdefault(one.starts_at, []).append(one)
    found = []
    for start in sorted(of_start):
        steps = (min(start + block, window.ends_at) - start) // window.step
        parts = of_start[start]
        committed = rounding.energy(_sum(one.committed_kw * one.steps for one in parts) / steps)
        delivered = rounding.energy(_sum((one.delivered_kw or ZERO) * one.steps for one in parts) / steps)
        found.append((start, Fraction(steps * step_s, 3600), committed, delivered))
    return found


def _unit(rule: SettlementRule, unit: str, raw: Sequence[_Raw]) -> UnitQuantities:
    rounding, delivered = rounding_of(rule), rule.delivered or Delivered()
    intervals = tuple(
        UnitInterval(
            starts_at=start,
            hours=hours,
            committed_kw=committed,
            delivered_kw=kw,
            counted_kw=_counted(delivered, kw, committed, rounding),
        )
        for start, hours, committed, kw in raw
    )
    committed_kwh = rounding.energy(_sum(one.committed_kw * one.hours for one in intervals))
    counted_kwh = rounding.energy(_sum(one.counted_kw * one.hours for one in intervals))
    if delivered.floor == "event":
        counted_kwh = max(ZERO, counted_kwh)
    return UnitQuantities(
        unit=unit,
        intervals=intervals,
        committed_kwh=committed_kwh,
        counted_kwh=counted_kwh,
        hours=_sum(one.hours for one in intervals),
        ratio=ratio_of(rule, counted_kwh, committed_kwh),
    )


def _counted(rule: Delivered, delivered: Exact, committed: Exact, rounding: Rounding) -> Exact:
    """P_h, number 4 of the note."""
    counted = max(ZERO, delivered) if rule.floor == "interval" else delivered
    if rule.cap_ratio is not None and committed > 0:
        counted = min(counted, rounding.energy(exact(rule.cap_ratio) * committed))
    return counted


def ratio_of(rule: SettlementRule, counted: Exact, committed: Exact) -> Exact | None:
    """Number 5 of the note: rounded, then held in min..max; None where nothing is committed."""
    return None if not committed else held(rule, counted / committed)


def held(rule: SettlementRule, ratio: Exact) -> Exact:
    """`ratio` rounded to the rule's places, then held in its min..max."""
    rounded = rounding_of(rule).ratio(ratio)
    performance = rule.performance
    if performance is None:
        return max(ZERO, rounded)
    rounded = max(exact(performance.min), rounded)
    return rounded if performance.max is None else min(exact(performance.max), rounded)
