"""The unit that is settled together, a facility or the portfolio: its intervals, energy and ratio (numbers 3 to 5 of
docs/settlement.md).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction

from domain.program.settlement_rule import Delivered, SettlementRule
from domain.settlement.inputs import StepWindow
from domain.settlement.quantities import (
    PORTFOLIO,
    ZERO,
    FacilityInterval,
    FacilityQuantities,
    UnitInterval,
    UnitQuantities,
    ratio_of,
    rounding_of,
)
from domain.settlement.rounding import Exact, Rounding, exact


def _sum(values: Iterable[Exact]) -> Exact:
    return sum(values, ZERO)


def unit_quantities(
    rule: SettlementRule, window: StepWindow, facilities: Sequence[FacilityQuantities]
) -> list[UnitQuantities]:
    """The units of a rule's level, of the facilities that count."""
    counted = [one for one in facilities if one.reason is None]
    if rule.level == "facility":
        return [_unit(rule, one.facility_id, _own_intervals(one, window.step_s)) for one in counted]
    return [_unit(rule, PORTFOLIO, _summed(rule, window, counted))] if counted else []


_Raw = tuple[datetime, Exact, Exact, Exact]
"""Start, hours, committed and delivered kW of an interval."""


def _own_intervals(facility: FacilityQuantities, step_s: int) -> list[_Raw]:
    return [
        (one.starts_at, Fraction(one.steps * step_s, 3600), one.committed_kw, one.delivered_kw)
        for one in facility.intervals
        if one.delivered_kw is not None
    ]


def _summed(rule: SettlementRule, window: StepWindow, facilities: Sequence[FacilityQuantities]) -> list[_Raw]:
    """Number 3 of the note: a facility whose interval is left out is left out of both sums."""
    rounding, block = rounding_of(rule), window.step * (rule.interval_s // window.step_s)
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
        found.append((start, Fraction(steps * window.step_s, 3600), committed, delivered))
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
