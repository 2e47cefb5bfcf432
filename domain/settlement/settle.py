"""The settlement of one DR event by a rule: a pure function of the rule, the event as it ended, and the steps."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from domain.program.settlement_rule import SettlementRule
from domain.settlement.allocation import parts_of, weights_of
from domain.settlement.inputs import EndedEvent, MeteringStep
from domain.settlement.lines import Line, lines_of
from domain.settlement.quantities import (
    PORTFOLIO,
    ZERO,
    FacilityQuantities,
    UnitQuantities,
    facility_quantities,
    ratio_of,
    rounding_of,
    unit_quantities,
)
from domain.settlement.rounding import Exact, exact

Reason = Literal[
    "cancelled_before_start",
    "coverage",
    "baseline",
    "no_facility",
    "opted_out",
    "failed",
    "excused",
    "no_window",
]
Steps = Mapping[str, Sequence[MeteringStep]]
"""Facility -> its metering steps."""


class UnknownKind(ValueError):
    """The event is of a kind that the rule does not name, and it is not `event`."""


class FacilityAmounts(msgspec.Struct, frozen=True):
    """What one facility gets of the lines; `net` after the rule's share."""

    gross: Exact
    net: Exact


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The settlement of one DR event. Amounts above zero are owed by the utility."""

    rule: SettlementRule
    """That of the event's kind."""
    dr_event: EndedEvent
    step_s: int
    reasons: tuple[Reason, ...]
    """Why nothing is settled; empty: it is settled."""
    facilities: tuple[FacilityQuantities, ...]
    units: tuple[UnitQuantities, ...]
    lines: tuple[Line, ...]
    amounts: dict[str, FacilityAmounts]
    """Of the facilities that count."""

    @property
    def total(self) -> Exact:
        return sum((line.amount for line in self.lines), ZERO)

    @property
    def performance(self) -> Exact | None:
        """The ratio of the sums of the units."""
        counted = sum((unit.counted_kwh for unit in self.units), ZERO)
        return ratio_of(self.rule, counted, sum((unit.committed_kwh for unit in self.units), ZERO))


def settle(rule: SettlementRule, dr_event: EndedEvent, steps: Steps, *, step_s: int) -> Settlement:
    """Settle by number 1 to 6 and 8 of the note (docs/settlement.md).

    Raises PriceMissing, UnknownKind, and ValueError for an interval that is no multiple of `step_s`.
    """
    if dr_event.kind != "event" and dr_event.kind not in rule.kinds:
        raise UnknownKind(
            f"the rule has no kind {dr_event.kind!r}; there are {', '.join(['event', *rule.kinds])}"
        )
    if rule.interval_s % step_s:
        raise ValueError(f"interval_s {rule.interval_s} is no multiple of the metering step, {step_s} s")
    of_kind = rule.of_kind(dr_event.kind)
    facilities: tuple[FacilityQuantities, ...] = ()
    if dr_event.status != "cancelled":
        facilities = tuple(
            facility_quantities(of_kind, dr_event, one, steps.get(one.facility_id, ()), step_s)
            for one in sorted(dr_event.facilities, key=lambda one: one.facility_id)
        )
    units = unit_quantities(of_kind, dr_event, facilities, step_s)
    lines = [line for unit in units for line in lines_of(of_kind, dr_event, unit)]
    return Settlement(
        rule=of_kind,
        dr_event=dr_event,
        step_s=step_s,
        reasons=_reasons(dr_event, facilities),
        facilities=facilities,
        units=tuple(units),
        lines=tuple(lines),
        amounts=_amounts(of_kind, facilities, lines),
    )


def _reasons(dr_event: EndedEvent, facilities: Sequence[FacilityQuantities]) -> tuple[Reason, ...]:
    if dr_event.status == "cancelled":
        return ("cancelled_before_start",)
    if not facilities:
        return ("no_facility",)
    left_out = [one.reason for one in facilities if one.reason is not None]
    return tuple(dict.fromkeys(sorted(left_out))) if len(left_out) == len(facilities) else ()


def _amounts(
    rule: SettlementRule, facilities: Sequence[FacilityQuantities], lines: Sequence[Line]
) -> dict[str, FacilityAmounts]:
    counted = {one.facility_id: one for one in facilities if one.reason is None}
    rounding = rounding_of(rule)
    gross, net = dict.fromkeys(counted, ZERO), dict.fromkeys(counted, ZERO)
    for line in lines:
        parts = {line.unit: line.amount}
        if line.unit == PORTFOLIO and rule.level == "portfolio":
            weights = weights_of(line.amount, counted, rule.allocation)
            parts = parts_of(line.amount, weights, rule.minor_unit)
        for facility_id, part in parts.items():
            gross[facility_id] += part
            net[facility_id] += rounding.money(exact(rule.share) * part)
    return {name: FacilityAmounts(gross[name], net[name]) for name in counted}
