"""Lines as a document writes them: exact texts, and the formula in numbers."""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from application.settlement.formula import (
    factor_text,
    formula_of,
    period_formula,
    plain_text,
    text_of,
)
from application.settlement.shapes import LineFigures, PeriodLineFigures, UnitFigures
from domain.program.settlement_rule import SettlementRule, Tier
from domain.settlement.lines import Line
from domain.settlement.period import PeriodLine
from domain.settlement.quantities import rounding_of
from domain.settlement.rounding import ENERGY_PLACES, decimal_text
from domain.settlement.settle import Settlement


def explained_lines(settlement: Settlement, units: Sequence[UnitFigures]) -> tuple[LineFigures, ...]:
    """The lines of a settlement; `units` are its units, as the document writes them."""
    of_unit = {unit.unit: unit for unit in units}
    found: list[LineFigures] = []
    for line in settlement.lines:
        unit = of_unit[line.unit]
        before = [one for one in found[-3:] if one.unit == line.unit]
        plain = _line(settlement.rule, line, unit)
        tokens = formula_of(settlement.rule, settlement.dr_event, unit, plain, before)
        found.append(msgspec.structs.replace(plain, formula=text_of(tokens)))
    return tuple(found)


def _line(rule: SettlementRule, line: Line, unit: UnitFigures) -> LineFigures:
    return LineFigures(
        unit=line.unit,
        component=line.component,
        amount=decimal_text(line.amount, rule.minor_unit),
        note=line.note,
        quantity=_quantity_text(line.quantity),
        rate=_rate_text(rule, line),
        factor=None if line.factor is None else _factor(rule, line, unit),
    )


def _rate_text(rule: SettlementRule, line: Line) -> str | None:
    """The rate with the digits of the rule; a penalty's below 0."""
    if line.rate is None:
        return None
    if line.component == "penalty" and rule.penalty is not None:
        return f"-{rule.penalty.rate}" if line.rate else rule.penalty.rate
    given = {"capacity": rule.capacity, "energy": rule.energy}.get(line.component)
    return None if given is None else given.rate


def _tiers(rule: SettlementRule, component: str) -> Sequence[Tier] | None:
    given = {"capacity": rule.capacity, "energy": rule.energy}.get(component)
    return None if given is None else given.tiers


def _factor(rule: SettlementRule, line: Line, unit: UnitFigures) -> str:
    return factor_text(_tiers(rule, line.component), unit.performance or "0")


def _quantity_text(value: Fraction | None) -> str | None:
    """kW, kWh, or kW times hours: at least 3 places."""
    if value is None:
        return None
    scaled = value * 10**ENERGY_PLACES
    return decimal_text(value, ENERGY_PLACES) if scaled.denominator == 1 else plain_text(value)


def period_line(rule: SettlementRule, line: PeriodLine) -> PeriodLineFigures:
    capacity, rounding = rule.capacity, rounding_of(rule)
    if capacity is None:
        raise ValueError("a rule without capacity has no line of a period")
    reached = [one.rate for one in capacity.from_event if Fraction(one.rate) == line.rate]
    rate = capacity.rate if Fraction(capacity.rate) == line.rate or not reached else reached[-1]
    performance = None
    factor = capacity.no_event_factor
    if line.performance is not None:
        performance = decimal_text(line.performance, rounding.ratio_places)
        factor = factor_text(capacity.tiers, performance)
    found = PeriodLineFigures(
        unit=line.unit,
        performance=performance,
        events=line.events,
        amount=decimal_text(line.amount, rule.minor_unit),
        quantity=_quantity_text(line.quantity),
        rate=rate,
        factor=factor,
        units=line.units,
        formula="",
    )
    return msgspec.structs.replace(found, formula=text_of(period_formula(found, capacity.unit)))
