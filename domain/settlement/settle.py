"""The settlement of one DR event by a rule: a pure function of the rule, the event as it ended, and the steps."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from domain.dr_event import ORDINARY_KIND
from domain.program.settlement_rule import SettlementRule
from domain.settlement.allocation import parts_of, weights_of
from domain.settlement.facility_energy import facility_quantities
from domain.settlement.inputs import EndedEvent, MeteringStep, event_window
from domain.settlement.lines import Component, Line, lines_of
from domain.settlement.quantities import (
    PORTFOLIO,
    ZERO,
    FacilityQuantities,
    UnitQuantities,
    ratio_of,
    rounding_of,
)
from domain.settlement.rounding import Exact, exact
from domain.settlement.unit_energy import unit_quantities

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


class IntervalMismatch(ValueError):
    """The settlement interval of the rule does not consist of whole metering steps."""


class LinePart(msgspec.Struct, frozen=True):
    """A facility's part of a line: the line itself at level `facility`. `net` after the rule's share."""

    unit: str
    component: Component
    gross: Exact
    net: Exact


class FacilityAmounts(msgspec.Struct, frozen=True):
    """The amounts that one facility gets of the lines; `net` after the rule's share."""

    gross: Exact
    net: Exact
    parts: tuple[LinePart, ...] = ()
    """Of the lines of a DR event."""


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

    Raises PriceMissing, UnknownKind and IntervalMismatch.
    """
    of_kind = _rule_of(rule, dr_event, step_s)
    return _settlement(of_kind, dr_event, _quantities(of_kind, dr_event, steps, step_s), step_s)


def settle_changed(
    earlier: Settlement, dr_event: EndedEvent, steps: Steps, changed: Collection[str]
) -> Settlement:
    """The settlement that `settle` gives by the rule of `earlier`, if nothing but the `changed` facilities differs from
    it.

    Only those are computed (`steps` of the others are not read), and at level `portfolio` the portfolio from the
    quantities of all. Raises PriceMissing.
    """
    rule, step_s = earlier.rule, earlier.step_s
    part = msgspec.structs.replace(
        dr_event, facilities=tuple(one for one in dr_event.facilities if one.facility_id in changed)
    )
    renewed = _quantities(rule, part, steps, step_s)
    same = [one for one in earlier.facilities if one.facility_id not in changed]
    facilities = tuple(sorted([*same, *renewed], key=lambda one: one.facility_id))
    if rule.level == "portfolio":
        return _settlement(rule, dr_event, facilities, step_s)
    of_part = _settlement(rule, part, renewed, step_s)
    units = [*(one for one in earlier.units if one.unit not in changed), *of_part.units]
    lines = [*(one for one in earlier.lines if one.unit not in changed), *of_part.lines]
    amounts = {name: one for name, one in earlier.amounts.items() if name not in changed} | of_part.amounts
    return msgspec.structs.replace(
        of_part,
        dr_event=dr_event,
        reasons=_reasons(dr_event, facilities),
        facilities=facilities,
        units=tuple(sorted(units, key=lambda one: one.unit)),
        lines=tuple(sorted(lines, key=lambda one: one.unit)),
        amounts={name: amounts[name] for name in sorted(amounts)},
    )


def _rule_of(rule: SettlementRule, dr_event: EndedEvent, step_s: int) -> SettlementRule:
    if dr_event.kind != ORDINARY_KIND and dr_event.kind not in rule.kinds:
        raise UnknownKind(
            f"the rule has no kind {dr_event.kind!r}; there are {', '.join([ORDINARY_KIND, *rule.kinds])}"
        )
    if rule.interval_s % step_s:
        raise IntervalMismatch(
            f"interval_s {rule.interval_s} is no multiple of the metering step, {step_s} s: "
            f"agree an interval of whole steps"
        )
    return rule.of_kind(dr_event.kind)


def _quantities(
    rule: SettlementRule, dr_event: EndedEvent, steps: Steps, step_s: int
) -> tuple[FacilityQuantities, ...]:
    if dr_event.status == "cancelled":
        return ()
    window = event_window(dr_event, step_s)
    return tuple(
        facility_quantities(rule, window, one, steps.get(one.facility_id, ()))
        for one in sorted(dr_event.facilities, key=lambda one: one.facility_id)
    )


def _settlement(
    rule: SettlementRule, dr_event: EndedEvent, facilities: tuple[FacilityQuantities, ...], step_s: int
) -> Settlement:
    """`rule` is that of the event's kind."""
    units = unit_quantities(rule, event_window(dr_event, step_s), facilities)
    lines = [line for unit in units for line in lines_of(rule, dr_event, unit)]
    return Settlement(
        rule=rule,
        dr_event=dr_event,
        step_s=step_s,
        reasons=_reasons(dr_event, facilities),
        facilities=facilities,
        units=tuple(units),
        lines=tuple(lines),
        amounts=_amounts(rule, facilities, lines),
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
    rounding, share = rounding_of(rule), exact(rule.share)
    parts: dict[str, list[LinePart]] = {name: [] for name in counted}
    for line in lines:
        amounts = {line.unit: line.amount}
        if line.unit == PORTFOLIO and rule.level == "portfolio":
            weights = weights_of(line.amount, counted, rule.allocation)
            amounts = parts_of(line.amount, weights, rule.minor_unit)
        for facility_id, amount in amounts.items():
            net = rounding.money(share * amount)
            parts[facility_id].append(LinePart(line.unit, line.component, amount, net))
    return {
        name: FacilityAmounts(
            sum((part.gross for part in own), ZERO), sum((part.net for part in own), ZERO), tuple(own)
        )
        for name, own in parts.items()
    }
