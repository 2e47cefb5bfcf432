"""domain/settlement and plain_settlement.py come to the same figures, in every random case.

All 10,000: `pytest -m slow tests/property/settlement`. `make test` compares the first 300.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from domain.program import SettlementRule
from domain.settlement.inputs import EndedEvent, MeteringStep
from domain.settlement.lines import PriceMissing
from domain.settlement.period import PeriodSettlement, period_named, settle_period
from domain.settlement.quantities import FacilityQuantities, UnitQuantities, rounding_of
from domain.settlement.resettlement import Basis, Resettlement, resettlement_of
from domain.settlement.settle import Settlement, UnknownKind
from tests.property.settlement.plain_arithmetic import Json, Refused
from tests.property.settlement.plain_period import PlainBasis, period_plainly, resettle_plainly
from tests.property.settlement.plain_settlement import Steps, settle_plainly
from tests.property.settlement.random_cases import Case, case_of
from tests.sizes import examples

CASES = examples(300)


def test_both_implementations_come_to_the_same_figures() -> None:
    _compare(range(CASES))


@pytest.mark.slow
@pytest.mark.parametrize("thousand", range(10))
def test_both_implementations_come_to_the_same_figures_in_ten_thousand_cases(thousand: int) -> None:
    _compare(range(thousand * 1_000, (thousand + 1) * 1_000))


def _compare(numbers: range) -> None:
    settled = resettled = 0
    for number in numbers:
        case = case_of(number)
        settled += _compared_period(case, number)
        resettled += _compared_resettlement(case, number)
    assert settled > len(numbers) / 2
    assert resettled > len(numbers) / 8


def _compared_period(case: Case, number: int) -> int:
    """How many DR events of the case are settled."""
    rule = msgspec.convert(case.program["settlement"], SettlementRule)
    assert rule.problems() == ()
    found, plain = [], []
    for dr_event, steps in case.events:
        try:
            expected = settle_plainly(case.program, dr_event, steps, case.step_s)
        except Refused as refused:
            with pytest.raises({"price_missing": PriceMissing, "unknown_kind": UnknownKind}[str(refused)]):
                _basis(case.program, dr_event, steps, case.step_s).settlement()
            continue
        settlement = _basis(case.program, dr_event, steps, case.step_s).settlement()
        assert _settled(settlement) == _exact(expected), f"case {number}"
        found.append(settlement)
        plain.append(expected)
    period = settle_period(rule, period_named(case.period), found, case.program["enrolments"])
    assert _of_period(period) == _exact(period_plainly(case.program, case.period, plain)), f"case {number}"
    return sum(1 for one in plain if one["status"] == "settled")


def _compared_resettlement(case: Case, number: int) -> int:
    """Whether the resettlement has another total."""
    (dr_event, steps), step_s = case.events[0], case.step_s
    old, new = PlainBasis(case.program, dr_event, steps, step_s), PlainBasis(*case.later, step_s)
    try:
        expected = resettle_plainly(old, new)
    except Refused:
        return 0
    before, after = _basis(*old), _basis(*new)
    found = resettlement_of(before, after)
    assert after.settlement_after(before, before.settlement()) == after.settlement(), f"case {number}"
    assert _resettled(found) == _exact(expected), f"case {number}"
    assert sum(part.amount for part in found.by_reason) == found.difference
    return bool(expected["difference"])


def _basis(program: Json, dr_event: Json, steps: Steps, step_s: int) -> Basis:
    return Basis(
        rule=msgspec.convert(program["settlement"], SettlementRule),
        dr_event=msgspec.convert(dr_event, EndedEvent),
        steps=msgspec.convert(steps, dict[str, list[MeteringStep]]),
        step_s=step_s,
    )


def _exact(value: Any) -> Any:
    """Decimals as fractions, in the members that the domain has too."""
    if isinstance(value, dict):
        return {
            name: _exact(one)
            for name, one in value.items()
            if name not in {"event", "pays_capacity", "status"}
        }
    if isinstance(value, list):
        return [_exact(one) for one in value]
    return Fraction(value) if isinstance(value, Decimal) else value


def _settled(settlement: Settlement) -> Json:
    return {
        "reasons": list(settlement.reasons),
        "performance": settlement.performance,
        "units": [_unit(unit) for unit in settlement.units],
        "lines": [
            {"unit": line.unit, "component": line.component, "amount": line.amount, "note": line.note}
            for line in settlement.lines
        ],
        "total": settlement.total,
        "facilities": [_facility(one, settlement) for one in settlement.facilities],
    }


def _unit(unit: UnitQuantities) -> Json:
    return {
        "unit": unit.unit,
        "seconds": unit.hours * 3600,
        "committed_kwh": unit.committed_kwh,
        "counted_kwh": unit.counted_kwh,
        "performance": unit.ratio,
        "intervals": [
            {
                "starts_at": one.starts_at.isoformat(),
                "seconds": one.hours * 3600,
                "committed_kw": one.committed_kw,
                "delivered_kw": one.delivered_kw,
                "counted_kw": one.counted_kw,
            }
            for one in unit.intervals
        ],
    }


def _facility(one: FacilityQuantities, settlement: Settlement) -> Json:
    amounts = settlement.amounts.get(one.facility_id)
    return {
        "facility_id": one.facility_id,
        "result": one.result,
        "reason": one.reason,
        "coverage": rounding_of(settlement.rule).ratio(one.coverage),
        "committed_kwh": one.committed_kwh,
        "delivered_kwh": one.delivered_kwh,
        "shortfall_kwh": one.shortfall_kwh,
        "gross": None if amounts is None else amounts.gross,
        "net": None if amounts is None else amounts.net,
        "intervals": [
            {
                "starts_at": part.starts_at.isoformat(),
                "steps": part.steps,
                "known_steps": part.known_steps,
                "committed_kw": part.committed_kw,
                "delivered_kw": part.delivered_kw,
            }
            for part in one.intervals
        ],
        "steps": [
            {
                "starts_at": step.starts_at.isoformat(),
                "adjusted_kw": None if step.adjusted_kw is None else Fraction(step.adjusted_kw),
                "metered_kw": None if step.metered_kw is None else Fraction(step.metered_kw),
            }
            for step in one.steps
        ],
    }


def _of_period(period: PeriodSettlement) -> Json:
    first, last = period.period.first, period.period.last
    months = [f"{first:%Y-%m}"] if (first.year, first.month) == (last.year, last.month) else []
    return {
        "period": "/".join(months or [f"{first:%Y-%m}", f"{last:%Y-%m}"]),
        "lines": [
            {
                "unit": line.unit,
                "component": "capacity",
                "performance": line.performance,
                "events": line.events,
                "amount": line.amount,
            }
            for line in period.lines
        ],
        "total": period.total,
        "facilities": [
            {"facility_id": name, "gross": period.amounts[name].gross, "net": period.amounts[name].net}
            for name in sorted(period.amounts)
        ],
    }


def _resettled(found: Resettlement) -> Json:
    return {
        "changes": [
            {
                "unit": change.unit,
                "component": change.component,
                "old": change.old,
                "new": change.new,
                "difference": change.difference,
            }
            for change in found.changes
        ],
        "by_reason": [{"why": part.why, "amount": part.amount} for part in found.by_reason],
        "difference": found.difference,
    }
