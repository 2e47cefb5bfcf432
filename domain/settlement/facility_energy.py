"""The committed and delivered energy of one facility, from its metering steps (numbers 1 and 2 of docs/settlement.md).

Powers are whole numbers of thousandths of a kW here, since each is rounded to them: fractions took three times as long.
"""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

import msgspec

from domain.program.settlement_rule import Delivered, Missing, Results, SettlementRule
from domain.settlement.inputs import EventFacility, MeteringStep, StepWindow, committed_in, facility_window
from domain.settlement.quantities import ZERO, FacilityInterval, FacilityQuantities, LeftOut, rounding_of
from domain.settlement.rounding import (
    ENERGY_PLACES,
    Exact,
    decimal_text,
    exact,
    of_thousandths,
    thousandths,
    whole_quotient,
)


def facility_quantities(
    rule: SettlementRule, window: StepWindow, facility: EventFacility, steps: Sequence[MeteringStep]
) -> FacilityQuantities:
    """`rule` is that of the event's kind, `window` the event's. `steps`: those that are known, of any window."""
    results = rule.results or Results()
    found = FacilityQuantities(facility_id=facility.facility_id, result=facility.result, reason=None)
    if (reason := _left_out(facility, results, window)) is not None:
        return msgspec.structs.replace(found, reason=reason)
    own_window = facility_window(window, facility, results.opted_out)
    if not own_window.count:
        return msgspec.structs.replace(found, reason="no_window")
    of_start = {step.starts_at: step for step in steps}
    own = [
        of_start.get(start, MeteringStep(starts_at=start, adjusted_kw=None, metered_kw=None))
        for start in own_window.starts()
    ]
    delivered = delivered_at_steps(rule, facility, own_window, own)
    steps_known = sum(1 for kw in delivered if kw is not None)
    coverage = Fraction(steps_known, own_window.count)
    found = msgspec.structs.replace(found, steps=rounded_steps(rule, own), coverage=coverage)
    if not steps_known or coverage < exact((rule.missing or Missing()).min_coverage):
        without = not steps_known and all(step.adjusted_kw is None for step in own)
        return msgspec.structs.replace(found, reason="baseline" if without else "coverage")
    return _with_energy(rule, found, _intervals(rule, window, own_window, facility, delivered), window.step_s)


def rounded_steps(rule: SettlementRule, steps: Sequence[MeteringStep]) -> tuple[MeteringStep, ...]:
    """B and M, number 1 of the note."""
    return tuple(
        step
        if _has_three_places(step.adjusted_kw) and _has_three_places(step.metered_kw)
        else msgspec.structs.replace(
            step,
            adjusted_kw=_three_places(rule, step.adjusted_kw),
            metered_kw=_three_places(rule, step.metered_kw),
        )
        for step in steps
    )


def _has_three_places(kw: str | None) -> bool:
    """False also below 0: "-0.000" is written without its sign."""
    return kw is None or (kw[-4:-3] == "." and not kw.startswith("-"))


def _three_places(rule: SettlementRule, kw: str | None) -> str | None:
    return None if kw is None else decimal_text(of_thousandths(thousandths(kw, rule.rounding)), ENERGY_PLACES)


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


def delivered_at_steps(
    rule: SettlementRule, facility: EventFacility, window: StepWindow, steps: Sequence[MeteringStep]
) -> list[int | None]:
    """D_i of each step, in thousandths of a kW; None: unknown."""
    exported = (rule.delivered or Delivered()).export == "counts"
    zero_from = _zero_from(facility, window)
    delivered: list[int | None] = []
    for step in steps:
        if zero_from is not None and step.starts_at + window.step > zero_from:
            delivered.append(0)
        elif step.adjusted_kw is None or step.metered_kw is None:
            delivered.append(None)
        else:
            metered = thousandths(step.metered_kw, rule.rounding)
            adjusted = thousandths(step.adjusted_kw, rule.rounding)
            delivered.append(adjusted - (metered if exported else max(0, metered)))
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
    window: StepWindow,
    own: StepWindow,
    facility: EventFacility,
    delivered: Sequence[int | None],
) -> tuple[FacilityInterval, ...]:
    """Blocks of `interval_s` from the start of the event's `window`, of the facility's `own` steps."""
    in_block = rule.interval_s // window.step_s
    block, step = window.step * in_block, window.step
    before = (own.starts_at - window.starts_at) // step
    intervals, end = [], 0
    while end < own.count:
        start, number = end, (before + end) // in_block
        end = min((number + 1) * in_block - before, own.count)
        values = [kw for kw in delivered[start:end] if kw is not None]
        intervals.append(
            FacilityInterval(
                starts_at=window.starts_at + block * number,
                steps=end - start,
                known_steps=len(values),
                committed_kw=committed_between(
                    rule, facility, own.starts_at + step * start, own.starts_at + step * end
                ),
                delivered_kw=_mean(rule, values),
            )
        )
    return tuple(intervals)


def committed_between(
    rule: SettlementRule, facility: EventFacility, starts_at: datetime, ends_at: datetime
) -> Exact:
    """C_h: what was committed, weighted by time."""
    if not facility.commitments:
        return of_thousandths(thousandths(facility.committed_kw, rule.rounding))
    parts = committed_in(facility, starts_at, ends_at)
    energy = sum((exact(kw) * duration for duration, kw in parts), ZERO)
    return rounding_of(rule).energy(energy / sum(duration for duration, _ in parts))


def _mean(rule: SettlementRule, values: Sequence[int]) -> Exact | None:
    """D_h, of thousandths."""
    if values:
        return of_thousandths(whole_quotient(sum(values), len(values), rule.rounding))
    return ZERO if (rule.missing or Missing()).as_ == "zero" else None


def _with_energy(
    rule: SettlementRule, found: FacilityQuantities, intervals: tuple[FacilityInterval, ...], step_s: int
) -> FacilityQuantities:
    """`found` with its intervals and their energy, of those that are not left out."""
    committed = delivered = shortfall = 0
    for one in intervals:
        if one.delivered_kw is not None:
            committed_kw, kw = _milli(one.committed_kw), _milli(one.delivered_kw)
            committed += committed_kw * one.steps
            delivered += kw * one.steps
            shortfall += max(0, committed_kw - kw) * one.steps
    return msgspec.structs.replace(
        found,
        intervals=intervals,
        committed_kwh=_energy(rule, committed * step_s),
        delivered_kwh=_energy(rule, delivered * step_s),
        shortfall_kwh=_energy(rule, shortfall * step_s),
    )


def _milli(value: Exact) -> int:
    return value.numerator * 1000 // value.denominator


def _energy(rule: SettlementRule, kw_seconds: int) -> Exact:
    """kWh, of thousandths of a kW times seconds."""
    return of_thousandths(whole_quotient(kw_seconds, 3600, rule.rounding))
