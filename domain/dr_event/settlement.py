"""Decisions of `DREvent` about its settlement in money: revisions, each with the digest of its document; pure
functions."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.dr_event import settlement_events
from domain.dr_event.decisions import DREventDecision
from domain.dr_event.state import DREventState, SettlementFigures, SettlementRevision
from domain.errors import NotAllowedNow, SettlementFinal
from domain.event_sourcing.aggregate import pending


def can_be_settled(state: DREventState) -> bool:
    """True if it is over, and every facility is measured or not measurable. One that was cancelled before its start has
    nothing to measure."""
    if state.status == "cancelled":
        return state.notice is not None
    return state.status in {"completed", "cancelled_while_active"} and state.measurements > 0


def settle(state: DREventState, now: datetime, *, figures: SettlementFigures, why: str) -> DREventDecision:
    """Record a settlement; one from the same inputs as the revision in force records nothing.

    Raises SettlementFinal for a change after the deadline of the revision in force, NotAllowedNow before every
    facility is measured or in another currency.
    """
    check_can_be_settled(state)
    before = state.settlement
    if before is None:
        yield pending(settlement_events.Settled, figures=figures, why=why)
        return
    if before.figures.inputs_digest == figures.inputs_digest:
        return
    _require_open(state, before, now)
    _require_currency(state, before, figures)
    yield pending(
        settlement_events.Resettled,
        revision=before.revision + 1,
        figures=figures,
        why=why,
        previous_total=before.figures.total,
        difference=difference_of(before.figures.total, figures.total),
    )


def check_can_be_settled(state: DREventState) -> None:
    """Raises NotAllowedNow, which says what is waited for."""
    if can_be_settled(state):
        return
    if state.status in {"completed", "cancelled_while_active"}:
        waits = "not every facility is measured, or known to be not measurable, yet"
    else:
        waits = f"it is {state.status}"
    raise NotAllowedNow(
        f"DR event {state.dr_event_id} is settled once it is over and all its facilities are measured; {waits}"
    )


def _require_open(state: DREventState, before: SettlementRevision, now: datetime) -> None:
    final_at = before.figures.final_at
    if final_at is not None and now > final_at:
        raise SettlementFinal(
            f"the settlement of DR event {state.dr_event_id} is final since {final_at:%Y-%m-%d %H:%MZ}: its rule "
            "allows no resettlement that late"
        )


def _require_currency(state: DREventState, before: SettlementRevision, figures: SettlementFigures) -> None:
    old, new = before.figures.currency, figures.currency
    if old is not None and new is not None and old != new:
        raise NotAllowedNow(
            f"DR event {state.dr_event_id} was settled in {old}, and is not settled again in {new}"
        )


def difference_of(old: str | None, new: str | None) -> str:
    """The difference of two totals, each with the minor unit of their currency; None counts 0."""
    return f"{Decimal(new or '0') - Decimal(old or '0'):f}"
