"""The formula of a line in numbers, as docs/settlement.md computes it: "4.00 x 100.000 kW x 0.90".

A formula is a sequence of tokens, so that a statement can link each number to where it comes from. Whoever computes it
and rounds once comes to the line's amount.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Context, Decimal
from fractions import Fraction
from typing import NamedTuple

from application.settlement.shapes import LineFigures, PeriodLineFigures, UnitFigures, UnitIntervalFigures
from domain.program.settlement_rule import Capacity, Energy, Penalty, SettlementRule, Tier
from domain.settlement.inputs import EndedEvent
from domain.settlement.quantities import rounding_of
from domain.settlement.rounding import ENERGY_PLACES, decimal_text, exact

_ALL_DIGITS = Context(prec=2_000)
MOST_TERMS = 24
"""A sum of more intervals is named, not written out; its terms are in the intervals."""


class Token(NamedTuple):
    """A piece of a formula; `origin`: where its number comes from, as `origin_of` names it."""

    text: str
    origin: str = ""


Tokens = list[Token]
_TIMES, _PLUS = Token(" x "), Token(" + ")


def text_of(tokens: Sequence[Token]) -> str:
    return "".join(token.text for token in tokens)


def rfc3339(moment: datetime) -> str:
    """A UTC moment as the documents write it."""
    return moment.isoformat().replace("+00:00", "Z")


def hours_text(seconds: int) -> str:
    """Hours, exact: "2", "0.25", or "25/12" where no decimal is."""
    return plain_text(Fraction(seconds, 3600))


def plain_text(value: Fraction) -> str:
    """The shortest exact decimal; a fraction where there is none."""
    for places in range(7):
        if (value * 10**places).denominator == 1:
            return decimal_text(value, places)
    return f"{value.numerator}/{value.denominator}"


def factor_text(tiers: Sequence[Tier] | None, ratio: str) -> str:
    """a + b * ratio of the reached tier, with all its digits."""
    reached = [tier for tier in tiers or () if exact(tier.from_) <= exact(ratio)]
    if tiers is None:
        return "1"
    if not reached:
        return "0"
    a, b = Decimal(reached[-1].a), Decimal(reached[-1].b)
    return f"{_ALL_DIGITS.add(a, _ALL_DIGITS.multiply(b, Decimal(ratio))):f}" if b else f"{a:f}"


def formula_of(
    rule: SettlementRule,
    dr_event: EndedEvent,
    unit: UnitFigures,
    line: LineFigures,
    others: Sequence[LineFigures] = (),
) -> Tokens:
    """`rule` is that of the event's kind, `others` the lines of the unit before this one."""
    if line.note == "no_commitment":
        return [Token("0, nothing is committed")]
    if line.note == "minimum_performance":
        return [
            Token("0, performance "),
            Token(unit.performance or "", f"unit/{unit.unit}/performance"),
            Token(" is below "),
            Token(rule.minimum_performance or "", "rule/minimum_performance"),
        ]
    if line.component == "capacity" and rule.capacity is not None:
        return _of_capacity(rule, rule.capacity, unit, line)
    if line.component == "energy" and rule.energy is not None:
        return _of_energy(rule, rule.energy, dr_event, unit, line)
    if line.component == "penalty" and rule.penalty is not None:
        return _of_penalty(rule.penalty, unit, line)
    return _of_limit(rule, unit, others)


def period_formula(line: PeriodLineFigures, unit_name: str) -> Tokens:
    """`unit_name`: `kw-day`, `kw-month` or `kw-season`."""
    if line.rate is None or line.factor is None:
        return [Token(line.formula)]
    factors = [
        Token(line.rate, "rule/capacity.rate"),
        Token(f"{line.quantity} kW", f"period/{line.unit}/quantity"),
        Token(line.factor, f"period/{line.unit}/performance"),
    ]
    if unit_name != "kw-season":
        name = unit_name.removeprefix("kw-") + ("" if line.units == 1 else "s")
        factors.append(Token(f"{line.units} {name}", f"period/{line.unit}/units"))
    return _product(factors)


def _product(factors: Sequence[Token]) -> Tokens:
    tokens: Tokens = []
    for factor in factors:
        tokens += [_TIMES, factor] if tokens else [factor]
    return tokens


def _sum(terms: Sequence[Tokens], origin: str) -> Tokens:
    if not terms:
        return [Token("0")]
    if len(terms) > MOST_TERMS:
        return [Token(f"(the sum over {len(terms)} intervals)", origin)]
    joined: Tokens = []
    for term in terms:
        joined += [_PLUS, *term] if joined else term
    return [Token("("), *joined, Token(")")] if len(terms) > 1 else joined


def _at(unit: UnitFigures, interval: UnitIntervalFigures, member: str) -> str:
    return f"unit/{unit.unit}/{rfc3339(interval.starts_at)}/{member}"


def _hours(seconds: int, origin: str) -> Token:
    return Token(f"{hours_text(seconds)} h", origin)


def _of_capacity(rule: SettlementRule, capacity: Capacity, unit: UnitFigures, line: LineFigures) -> Tokens:
    rate = Token(capacity.rate, "rule/capacity.rate")
    window = _hours(unit.seconds, f"unit/{unit.unit}/seconds")
    if rule.performance is not None and rule.performance.per == "interval":
        terms = [
            _product(
                [
                    Token(f"{one.committed_kw} kW", _at(unit, one, "committed_kw")),
                    _hours(one.seconds, _at(unit, one, "seconds")),
                    *_factor(capacity.tiers, one.performance, _at(unit, one, "performance")),
                ]
            )
            for one in unit.intervals
            if exact(one.committed_kw) > 0
        ]
        tokens = [rate, _TIMES, *_sum(terms, f"unit/{unit.unit}/intervals")]
        return tokens if capacity.unit == "kw-hour" else [*tokens, Token(" / "), window]
    kw = exact(line.quantity or "0")
    if capacity.unit == "kw-hour":
        kw = rounding_of(rule).energy(exact(_energy_of(capacity, unit)) * 3600 / unit.seconds)
    member = "committed_kwh" if capacity.quantity == "committed" else "counted_kwh"
    factors = [rate, Token(f"{decimal_text(kw, ENERGY_PLACES)} kW", f"unit/{unit.unit}/{member}")]
    if capacity.unit == "kw-hour":
        factors.append(window)
    return _product([*factors, *_factor(capacity.tiers, unit.performance, f"unit/{unit.unit}/performance")])


def _energy_of(capacity: Capacity, unit: UnitFigures) -> str:
    if capacity.quantity == "committed":
        return unit.committed_kwh
    return unit.counted_kwh if exact(unit.counted_kwh) > 0 else "0"


def _factor(tiers: Sequence[Tier] | None, ratio: str | None, origin: str) -> Iterator[Token]:
    if tiers is not None and ratio is not None:
        yield Token(_in_brackets(factor_text(tiers, ratio)), origin)


def _in_brackets(number: str) -> str:
    return f"({number})" if number.startswith("-") else number


def _of_energy(
    rule: SettlementRule, energy: Energy, dr_event: EndedEvent, unit: UnitFigures, line: LineFigures
) -> Tokens:
    factor = list(_factor(energy.tiers, unit.performance, f"unit/{unit.unit}/performance"))
    after = [_TIMES, *factor] if factor else []
    if energy.price == "rate":
        rate = Token(energy.rate or "0", "rule/energy.rate")
        energy_token = Token(f"{_in_brackets(unit.counted_kwh)} kWh", f"unit/{unit.unit}/counted_kwh")
        return [*_product([rate, energy_token]), *after]
    prices = {price.starts_at: price.per_kwh for price in dr_event.prices}
    rounding, terms = rounding_of(rule), list[Tokens]()
    for one in unit.intervals:
        price = prices[one.starts_at]
        if energy.min_price is None or exact(price) >= exact(energy.min_price):
            kwh = rounding.energy(exact(one.counted_kw) * one.seconds / 3600)
            counted = _in_brackets(decimal_text(kwh, ENERGY_PLACES))
            terms.append(
                _product(
                    [
                        Token(f"{counted} kWh", _at(unit, one, "counted_kw")),
                        Token(_in_brackets(price), f"event/prices/{rfc3339(one.starts_at)}"),
                    ]
                )
            )
    return [*_sum(terms, f"unit/{unit.unit}/intervals"), *after]


def _of_penalty(penalty: Penalty, unit: UnitFigures, line: LineFigures) -> Tokens:
    tokens = _product(
        [
            Token(line.rate or "0", "rule/penalty.rate"),
            Token(f"{line.quantity} kWh", f"unit/{unit.unit}/intervals"),
        ]
    )
    most = penalty.max_per_event
    if most is None or exact(line.rate or "0") * exact(line.quantity or "0") >= -exact(most):
        return tokens
    return [*tokens, Token(", at most "), Token(most, "rule/penalty.max_per_event")]


def _of_limit(rule: SettlementRule, unit: UnitFigures, others: Sequence[LineFigures]) -> Tokens:
    total = sum((exact(line.amount) for line in others), Fraction(0))
    limits = rule.limits
    name, limit = "event_max", None if limits is None else limits.event_max
    if limits is not None and limits.event_min is not None and total < exact(limits.event_min):
        name, limit = "event_min", limits.event_min
    text = _in_brackets(decimal_text(total, rule.minor_unit))
    return [
        Token(_in_brackets(limit or "0"), f"rule/limits.{name}"),
        Token(" - "),
        Token(text, f"unit/{unit.unit}/lines"),
    ]
