"""A new revision beside the old one: which lines moved, and why, from the two alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from domain.program.settlement_rule import Deadline, SettlementRule
from domain.settlement.inputs import EndedEvent
from domain.settlement.lines import PriceMissing
from domain.settlement.quantities import ZERO
from domain.settlement.rounding import Exact
from domain.settlement.settle import (
    IntervalMismatch,
    Settlement,
    Steps,
    UnknownKind,
    settle,
    settle_changed,
)

Why = Literal["rule", "event", "baseline", "meter"]


class DeadlinePassed(ValueError):
    """No resettlement is allowed that late."""


class CurrencyChanged(ValueError):
    """Two settlements in different currencies have no difference."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A line that moved; one that is not there counts 0."""

    unit: str
    component: str
    old: Exact
    new: Exact

    @property
    def difference(self) -> Exact:
        return self.new - self.old


class WhyChanged(msgspec.Struct, frozen=True):
    """The part of the total difference that one reason explains."""

    why: Why
    amount: Exact


class Resettlement(msgspec.Struct, frozen=True, kw_only=True):
    """The difference between two settlements of one DR event."""

    changes: tuple[Change, ...]
    by_reason: tuple[WhyChanged, ...]
    difference: Exact


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """All that a settlement follows from. `rule` is the program's, with its kinds."""

    rule: SettlementRule
    dr_event: EndedEvent
    steps: Steps
    step_s: int

    def settlement(self) -> Settlement:
        """Raises PriceMissing, UnknownKind and IntervalMismatch."""
        return settle(self.rule, self.dr_event, self.steps, step_s=self.step_s)

    def settlement_after(self, old: Basis, settlement: Settlement) -> Settlement:
        """The same as `settlement()`, from that of `old`: what no difference of the two affects is not computed."""
        changed = changed_facilities(old, self)
        if changed is None:
            return self.settlement()
        if not changed:
            return msgspec.structs.replace(settlement, dr_event=self.dr_event)
        return settle_changed(settlement, self.dr_event, self.steps, changed)

    def of_facilities(self, facility_ids: Collection[str]) -> Basis:
        """The basis of those facilities."""
        part = tuple(one for one in self.dr_event.facilities if one.facility_id in facility_ids)
        return msgspec.structs.replace(
            self,
            dr_event=msgspec.structs.replace(self.dr_event, facilities=part),
            steps={name: steps for name, steps in self.steps.items() if name in facility_ids},
        )


def changed_facilities(old: Basis, new: Basis) -> frozenset[str] | None:
    """The facilities whose part of the event or whose steps differ; None: the rule, or what all have in common,
    does."""
    of_old, of_new = ({one.facility_id: one for one in basis.dr_event.facilities} for basis in (old, new))
    common = [
        (basis.rule, basis.step_s, msgspec.structs.replace(basis.dr_event, facilities=()))
        for basis in (old, new)
    ]
    if common[0] != common[1]:
        return None
    return frozenset(
        name
        for name in {**of_old, **of_new}
        if of_old.get(name) != of_new.get(name)
        or list(old.steps.get(name, ())) != list(new.steps.get(name, ()))
    )


def final_at(rule: SettlementRule, ends_at: datetime) -> datetime:
    """The last moment at which a DR event that ends then is settled again."""
    return ends_at + timedelta(days=(rule.deadline or Deadline()).final_after_days)


def check_deadline(rule: SettlementRule, dr_event: EndedEvent, at: datetime) -> None:
    """Raises DeadlinePassed later than `final_after_days` after the end."""
    final = final_at(rule, dr_event.ends_at)
    if at > final:
        days = (final - dr_event.ends_at).days
        raise DeadlinePassed(
            f"the settlement is final since {final.isoformat()}, {days} days after the end: nothing is settled again"
        )


def resettlement_of(old: Basis, new: Basis) -> Resettlement:
    """The change from `old` to `new`, the difference split in the order rule, event, baseline, meter.

    A reason that cannot be settled by itself is part of the next one: the new rule may pay prices that the old event
    has not, or have an interval that the old metering steps do not fill. What a step does not affect is not computed
    again. Raises CurrencyChanged, PriceMissing, UnknownKind and IntervalMismatch.
    """
    if old.rule.currency != new.rule.currency:
        raise CurrencyChanged(
            f"settled in {old.rule.currency}, the new rule pays in {new.rule.currency}: nothing is converted"
        )
    if old.rule.level == "facility" and (changed := changed_facilities(old, new)) is not None:
        old, new = old.of_facilities(changed), new.of_facilities(changed)
    parts, basis, settled = [], old, old.settlement()
    before = settled
    for why, following in _one_by_one(old, new):
        try:
            later = following.settlement_after(basis, settled)
        except (PriceMissing, UnknownKind, IntervalMismatch):
            if following is new:
                raise
            continue
        if later.total != settled.total:
            parts.append(WhyChanged(why, later.total - settled.total))
        basis, settled = following, later
    return Resettlement(
        changes=_changes(before, settled), by_reason=tuple(parts), difference=settled.total - before.total
    )


def _one_by_one(old: Basis, new: Basis) -> list[tuple[Why, Basis]]:
    """The old basis with, one after the other, the rule, the event, the baselines and the meter of the new one."""
    of_new_event = msgspec.structs.replace(new, steps=_merged(old, new, of_old=("adjusted_kw", "metered_kw")))
    of_new_baseline = msgspec.structs.replace(new, steps=_merged(old, new, of_old=("metered_kw",)))
    return [
        ("rule", msgspec.structs.replace(old, rule=new.rule)),
        ("event", of_new_event),
        ("baseline", of_new_baseline),
        ("meter", new),
    ]


def _merged(old: Basis, new: Basis, *, of_old: Sequence[str]) -> Steps:
    """The new steps with those members of the old step of the same time, where there was one of the same length."""
    if old.step_s != new.step_s:
        return new.steps
    merged = {}
    for facility_id, steps in new.steps.items():
        earlier = {step.starts_at: step for step in old.steps.get(facility_id, ())}
        merged[facility_id] = [
            msgspec.structs.replace(step, **{name: getattr(earlier[step.starts_at], name) for name in of_old})
            if step.starts_at in earlier
            else step
            for step in steps
        ]
    return merged


def _changes(before: Settlement, after: Settlement) -> tuple[Change, ...]:
    old = {(line.unit, line.component): line.amount for line in before.lines}
    new = {(line.unit, line.component): line.amount for line in after.lines}
    pairs = dict.fromkeys([*old, *new])
    found = (
        Change(unit=unit, component=part, old=old.get((unit, part), ZERO), new=new.get((unit, part), ZERO))
        for unit, part in pairs
    )
    return tuple(change for change in found if change.difference)
