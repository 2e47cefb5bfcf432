"""Capacity that is paid with a month or a season, from the settlements of its DR events (number 7 of the note)."""

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

import msgspec

from domain.program.settlement_rule import PERIOD_UNITS, Capacity, SettlementRule
from domain.settlement.allocation import parts_of
from domain.settlement.inputs import EndedEvent
from domain.settlement.lines import factor_of
from domain.settlement.quantities import PORTFOLIO, ZERO, UnitQuantities, rounding_of
from domain.settlement.rounding import Exact, exact
from domain.settlement.settle import FacilityAmounts, Settlement

_PERIOD = re.compile(r"(\d{4})-(\d{2})(?:/(\d{4})-(\d{2}))?\Z", re.ASCII)


class InvalidPeriod(ValueError):
    """No month ("2026-07") or season ("2026-06/2026-09")."""


class Period(msgspec.Struct, frozen=True):
    """Whole months: local days from `first` to `last`, both included."""

    first: date
    last: date
    months: int

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def contains(self, day: date) -> bool:
        return self.first <= day <= self.last


class PeriodLine(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity of a unit: rate x quantity x factor x units, rounded. `performance` None: no DR event had one.
    `units`: days, months, or 1 for a season."""

    unit: str
    amount: Exact
    performance: Exact | None
    events: int
    rate: Exact
    quantity: Exact
    factor: Exact
    units: int


class PeriodSettlement(msgspec.Struct, frozen=True, kw_only=True):
    period: Period
    lines: tuple[PeriodLine, ...]
    amounts: dict[str, FacilityAmounts]

    @property
    def total(self) -> Exact:
        return sum((line.amount for line in self.lines), ZERO)


def period_named(text: str) -> Period:
    """Raises InvalidPeriod; years are those that a DR event may lie in, 2000 to 2199."""
    match = _PERIOD.match(text)
    months = (
        []
        if match is None
        else [(int(match[1]), int(match[2])), (int(match[3] or match[1]), int(match[4] or match[2]))]
    )
    known = all(2000 <= year < 2200 and 1 <= month <= 12 for year, month in months)
    if not months or not known or months[1] < months[0]:
        raise InvalidPeriod(
            f"{text!r} is no period: write a month as 2026-07, or a season as 2026-06/2026-09"
        )
    (first_year, first_month), (year, month) = months
    count = (year - first_year) * 12 + month - first_month + 1
    return Period(date(first_year, first_month, 1), date(year, month, monthrange(year, month)[1]), count)


def local_start_day(dr_event: EndedEvent) -> date:
    """The day on which it began, local to its first facility."""
    first = min(dr_event.facilities, key=lambda one: one.facility_id, default=None)
    return dr_event.starts_at.astimezone(ZoneInfo("UTC" if first is None else first.tz)).date()


def settle_period(
    rule: SettlementRule, period: Period, settlements: Sequence[Settlement], enrolments: Mapping[str, str]
) -> PeriodSettlement:
    """`settlements`: those of the season so far, of any period. `enrolments`: facility -> enrolled kW.

    Without a capacity that is paid with the period there is no line.
    """
    capacity = rule.capacity
    if capacity is None or capacity.unit not in PERIOD_UNITS:
        return PeriodSettlement(period=period, lines=(), amounts={})
    inside = tuple(
        one
        for one in settlements
        if not one.reasons
        and one.rule.capacity is not None
        and period.contains(local_start_day(one.dr_event))
    )
    rate = _rate(capacity, period, settlements)
    of_unit: dict[str, list[UnitQuantities]] = {}
    for unit in (unit for one in inside for unit in one.units):
        of_unit.setdefault(unit.unit, []).append(unit)
    basis = _Basis(
        rule=rule, capacity=capacity, rate=rate, inside=inside, of_unit=of_unit, enrolments=dict(enrolments)
    )
    units = [PORTFOLIO] if rule.level == "portfolio" else sorted(enrolments)
    lines = tuple(_line(basis, unit, period) for unit in units)
    return PeriodSettlement(period=period, lines=lines, amounts=_amounts(basis, lines))


class _Basis(msgspec.Struct, frozen=True, kw_only=True):
    """The basis of each unit's line. `inside`: the settlements of the period that have a capacity."""

    rule: SettlementRule
    capacity: Capacity
    rate: Exact
    inside: tuple[Settlement, ...]
    of_unit: dict[str, list[UnitQuantities]]
    """Those of `inside`."""
    enrolments: dict[str, str]


def _rate(capacity: Capacity, period: Period, settlements: Sequence[Settlement]) -> Exact:
    """From the n-th event of the season on another rate: tests and cancelled ones do not count."""
    events = sum(
        1
        for one in settlements
        if one.dr_event.kind == "event"
        and one.dr_event.status != "cancelled"
        and local_start_day(one.dr_event) <= period.last
    )
    reached = [one.rate for one in capacity.from_event if one.number <= events]
    return exact(reached[-1] if reached else capacity.rate)


def _line(basis: _Basis, unit: str, period: Period) -> PeriodLine:
    capacity, rounding = basis.capacity, rounding_of(basis.rule)
    quantities = basis.of_unit.get(unit, [])
    ratios = [one.ratio for one in quantities if one.ratio is not None]
    performance = rounding.ratio(sum(ratios, ZERO) / len(ratios)) if ratios else None
    factor = (
        exact(capacity.no_event_factor) if performance is None else factor_of(capacity.tiers, performance)
    )
    quantity = _quantity(basis, unit, quantities)
    units = {"kw-day": period.days, "kw-month": period.months}.get(capacity.unit, 1)
    return PeriodLine(
        unit=unit,
        amount=rounding.money(basis.rate * quantity * factor * units),
        performance=performance,
        events=len(ratios),
        rate=basis.rate,
        quantity=quantity,
        factor=factor,
        units=units,
    )


def _quantity(basis: _Basis, unit: str, quantities: Sequence[UnitQuantities]) -> Exact:
    if basis.capacity.quantity == "delivered":
        hours = sum((one.hours for one in quantities), ZERO)
        counted = sum((one.counted_kwh for one in quantities), ZERO)
        return rounding_of(basis.rule).energy(counted / hours) if hours else ZERO
    if unit == PORTFOLIO:
        return sum((exact(kw) for kw in basis.enrolments.values()), ZERO)
    return exact(basis.enrolments[unit])


def _amounts(basis: _Basis, lines: Sequence[PeriodLine]) -> dict[str, FacilityAmounts]:
    """A portfolio's line by delivered energy of the period's events, else by enrolment."""
    rule, rounding = basis.rule, rounding_of(basis.rule)
    delivered = dict.fromkeys(basis.enrolments, ZERO)
    for one in basis.inside:
        for facility in one.facilities:
            if facility.reason is None:
                delivered[facility.facility_id] = delivered.get(facility.facility_id, ZERO) + max(
                    ZERO, facility.delivered_kwh
                )
    enrolled = {name: exact(kw) for name, kw in basis.enrolments.items()}
    weights = delivered if any(delivered.values()) else enrolled
    found: dict[str, FacilityAmounts] = {}
    share = exact(rule.share)
    for line in lines:
        parts = {line.unit: line.amount}
        if rule.level == "portfolio":
            parts = parts_of(line.amount, weights, rule.minor_unit)
        for name, part in parts.items():
            found[name] = FacilityAmounts(part, rounding.money(share * part))
    return found
