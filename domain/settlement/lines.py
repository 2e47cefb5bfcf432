"""The lines of one DR event, per unit: capacity, energy, penalty and limit (number 6 of the note)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from domain.program.settlement_rule import PERIOD_UNITS, Capacity, Energy, Penalty, SettlementRule, Tier
from domain.settlement.inputs import EndedEvent
from domain.settlement.quantities import ZERO, UnitQuantities, held, rounding_of
from domain.settlement.rounding import Exact, exact

Component = Literal["capacity", "energy", "penalty", "limit"]
Note = Literal["no_commitment", "minimum_performance"]


class PriceMissing(ValueError):
    """The rule pays the event's own prices, and one of a settlement interval is missing."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An amount, in the currency, above zero if the utility owes it. It is `rate` x `quantity` x `factor`, rounded;
    None where it is no such product, as a sum over intervals."""

    unit: str
    component: Component
    amount: Exact
    note: Note | None = None
    quantity: Exact | None = None
    rate: Exact | None = None
    factor: Exact | None = None


def factor_of(tiers: Sequence[Tier] | None, ratio: Exact) -> Exact:
    """a + b * ratio of the last tier that begins at or below it; 0 below the first, 1 without tiers."""
    if tiers is None:
        return Exact(1)
    reached = [tier for tier in tiers if exact(tier.from_) <= ratio]
    return exact(reached[-1].a) + exact(reached[-1].b) * ratio if reached else ZERO


def lines_of(rule: SettlementRule, dr_event: EndedEvent, unit: UnitQuantities) -> list[Line]:
    """Raises PriceMissing. `rule` is that of the event's kind."""
    lines = []
    if rule.capacity is not None and rule.capacity.unit not in PERIOD_UNITS:
        lines.append(_of_capacity(rule, rule.capacity, unit))
    if rule.energy is not None:
        lines.append(_of_energy(rule, rule.energy, dr_event, unit))
    if rule.penalty is not None:
        lines.append(_of_penalty(rule, rule.penalty, unit))
    return lines + _of_limits(rule, unit.unit, lines)


def _too_low(rule: SettlementRule, unit: UnitQuantities) -> bool:
    least = rule.minimum_performance
    return least is not None and unit.ratio is not None and unit.ratio < exact(least)


def _of_capacity(rule: SettlementRule, capacity: Capacity, unit: UnitQuantities) -> Line:
    empty = Line(unit=unit.unit, component="capacity", amount=ZERO, rate=exact(capacity.rate))
    if unit.ratio is None:
        return msgspec.structs.replace(empty, note="no_commitment")
    if _too_low(rule, unit):
        return msgspec.structs.replace(empty, note="minimum_performance")
    rounding, times = rounding_of(rule), unit.hours if capacity.unit == "kw-hour" else Exact(1)
    if rule.performance is not None and rule.performance.per == "interval":
        weighted = sum(
            (
                one.committed_kw
                * one.hours
                * factor_of(capacity.tiers, held(rule, one.counted_kw / one.committed_kw))
                for one in unit.intervals
                if one.committed_kw > 0
            ),
            ZERO,
        )
        amount = exact(capacity.rate) * weighted / unit.hours * times
        return msgspec.structs.replace(empty, amount=rounding.money(amount))
    energy = unit.committed_kwh if capacity.quantity == "committed" else max(ZERO, unit.counted_kwh)
    quantity, factor = rounding.energy(energy / unit.hours), factor_of(capacity.tiers, unit.ratio)
    amount = exact(capacity.rate) * quantity * factor * times
    return msgspec.structs.replace(
        empty, amount=rounding.money(amount), quantity=quantity * times, factor=factor
    )


def _of_energy(rule: SettlementRule, energy: Energy, dr_event: EndedEvent, unit: UnitQuantities) -> Line:
    rounding = rounding_of(rule)
    amount, rate = _energy_amount(rule, energy, dr_event, unit)
    line = Line(unit=unit.unit, component="energy", amount=ZERO, quantity=unit.counted_kwh, rate=rate)
    if _too_low(rule, unit):
        return msgspec.structs.replace(line, note="minimum_performance")
    if energy.tiers is None:
        return msgspec.structs.replace(line, amount=rounding.money(amount))
    if unit.ratio is None:
        return msgspec.structs.replace(line, note="no_commitment")
    factor = factor_of(energy.tiers, unit.ratio)
    return msgspec.structs.replace(line, amount=rounding.money(amount * factor), factor=factor)


def _energy_amount(
    rule: SettlementRule, energy: Energy, dr_event: EndedEvent, unit: UnitQuantities
) -> tuple[Exact, Exact | None]:
    """The amount before rounding and tiers, and the one rate that it was computed with, if there is one."""
    if energy.price == "rate":
        rate = exact(energy.rate or "0")
        return rate * unit.counted_kwh, rate
    rounding, amount = rounding_of(rule), ZERO
    prices = {one.starts_at: exact(one.per_kwh) for one in dr_event.prices}
    for one in unit.intervals:
        price = _price_at(prices, one.starts_at)
        if energy.min_price is None or price >= exact(energy.min_price):
            amount += rounding.energy(one.counted_kw * one.hours) * price
    return amount, None


def _price_at(prices: Mapping[datetime, Exact], starts_at: datetime) -> Exact:
    if (price := prices.get(starts_at)) is None:
        raise PriceMissing(
            f"the price of the interval from {starts_at.isoformat()} is missing: give one for each settlement interval"
        )
    return price


def _of_penalty(rule: SettlementRule, penalty: Penalty, unit: UnitQuantities) -> Line:
    rounding, threshold = rounding_of(rule), exact(penalty.threshold)
    short = rounding.energy(
        sum(
            (max(ZERO, threshold * one.committed_kw - one.counted_kw) * one.hours for one in unit.intervals),
            ZERO,
        )
    )
    amount = -exact(penalty.rate) * short
    if penalty.max_per_event is not None:
        amount = max(amount, -exact(penalty.max_per_event))
    return Line(
        unit=unit.unit,
        component="penalty",
        amount=rounding.money(amount),
        quantity=short,
        rate=-exact(penalty.rate),
    )


def _of_limits(rule: SettlementRule, unit: str, lines: Sequence[Line]) -> list[Line]:
    limits = rule.limits
    if limits is None:
        return []
    total = limited = sum((line.amount for line in lines), ZERO)
    if limits.event_min is not None:
        limited = max(limited, exact(limits.event_min))
    if limits.event_max is not None:
        limited = min(limited, exact(limits.event_max))
    missing = rounding_of(rule).money(limited - total)
    return [Line(unit=unit, component="limit", amount=missing)] if missing else []
