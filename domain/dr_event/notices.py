"""Decisions of `DREvent` about a utility's notices: accepted, rejected, modified or withdrawn; pure functions."""

from __future__ import annotations

from domain.dr_event import events, plan_events
from domain.dr_event.decisions import DREventDecision, require
from domain.dr_event.reasons import summarized
from domain.dr_event.state import ENDED, ORDINARY_KIND, RUNNING, DREventState, EventPrice, Notice, Reason
from domain.dr_event.window import requests_the_same
from domain.errors import NotAllowedNow, ReasonRequired
from domain.event_sourcing.aggregate import pending


def accept(
    state: DREventState,
    *,
    notice: Notice,
    program_version: int,
    capacity_kw: float,
    capacity_source: str,
    shortfall_kw: float,
    capacity_degraded_kw: float = 0.0,
    start_offset_s: int | None = None,
    blocked_facilities: int | None = None,
    at_risk_facilities: int | None = None,
    kind: str = ORDINARY_KIND,
    prices: tuple[EventPrice, ...] = (),
) -> DREventDecision:
    """Accept a feasible notice; its window is in force from now on."""
    _require_judgeable(state, notice)
    yield pending(
        events.Accepted,
        notice=notice,
        program_version=program_version,
        capacity_kw=capacity_kw,
        capacity_source=capacity_source,
        shortfall_kw=shortfall_kw,
        capacity_degraded_kw=capacity_degraded_kw,
        start_offset_s=start_offset_s,
        blocked_facilities=blocked_facilities,
        at_risk_facilities=at_risk_facilities,
        kind=kind,
        prices=prices,
    )


def reject(state: DREventState, *, notice: Notice, reasons: tuple[Reason, ...]) -> DREventDecision:
    """Reject an infeasible notice; any number of reasons is summarized."""
    _require_judgeable(state, notice)
    if not reasons:
        raise ReasonRequired("a rejection names its reasons")
    listed, counts = summarized(reasons)
    yield pending(events.Rejected, notice=notice, reasons=listed, reason_counts=counts)


def modify(
    state: DREventState,
    *,
    notice: Notice,
    capacity_kw: float,
    capacity_source: str,
    capacity_degraded_kw: float,
    shortfall_kw: float,
    start_offset_s: int | None,
    blocked_facilities: int | None = None,
    at_risk_facilities: int | None = None,
    kind: str = ORDINARY_KIND,
    prices: tuple[EventPrice, ...] = (),
) -> DREventDecision:
    """Accept a changed, feasible notice; a new plan follows."""
    _require_newer(state, notice)
    yield pending(
        plan_events.Modified,
        notice=notice,
        capacity_kw=capacity_kw,
        capacity_source=capacity_source,
        capacity_degraded_kw=capacity_degraded_kw,
        shortfall_kw=shortfall_kw,
        start_offset_s=start_offset_s,
        blocked_facilities=blocked_facilities,
        at_risk_facilities=at_risk_facilities,
        kind=kind,
        prices=prices,
    )


def reprice(
    state: DREventState, *, notice: Notice, kind: str, prices: tuple[EventPrice, ...]
) -> DREventDecision:
    """Record another kind or other prices of an unchanged request; after the window only other prices."""
    _require_newer(state, notice, also_ended=True)
    if not requests_the_same(notice, state.judged_notice):
        raise NotAllowedNow(f"DR event {state.dr_event_id} was requested otherwise; modify it")
    if state.status in ENDED and kind != state.kind:
        raise NotAllowedNow(f"DR event {state.dr_event_id} is {state.status}: only its prices can change")
    yield pending(
        plan_events.Modified,
        notice=notice,
        capacity_kw=state.capacity_kw,
        capacity_source=state.capacity_source,
        capacity_degraded_kw=state.capacity_degraded_kw,
        shortfall_kw=state.shortfall_kw,
        start_offset_s=state.start_offset_s,
        blocked_facilities=state.blocked_facilities,
        at_risk_facilities=state.at_risk_facilities,
        kind=kind,
        prices=prices,
    )


def refuse_modification(
    state: DREventState, *, notice: Notice, reasons: tuple[Reason, ...]
) -> DREventDecision:
    """Record why a changed notice is not feasible; the earlier one stays in force."""
    _require_newer(state, notice, also_ended=True)
    if not reasons:
        raise ReasonRequired("a refusal names its reasons")
    listed, counts = summarized(reasons)
    yield pending(plan_events.ModificationRefused, notice=notice, reasons=listed, reason_counts=counts)


def withdraw(state: DREventState, *, modification_number: int | None, reason: str) -> DREventDecision:
    """Cancel an event that was never accepted, so that a later notice of it is refused.

    With a number, only a notice with a higher number is judged afterwards; with None, no notice is.
    """
    if not reason.strip():
        raise ReasonRequired("a cancellation needs a reason")
    previous = state.withdrawn_number
    if previous is None:
        require(state, {"opened", "rejected"}, "be withdrawn")
    elif state.withdrawn_for_good or (modification_number is not None and previous >= modification_number):
        return
    if modification_number is None:
        of_notice = 0 if state.notice is None else state.notice.modification_number
        stated = max(of_notice, previous or 0)
    else:
        stated = modification_number
    yield pending(
        events.Withdrawn,
        modification_number=stated,
        whatever_number=modification_number is None,
        reason=reason,
    )


def _require_judgeable(state: DREventState, notice: Notice) -> None:
    withdrawn = state.withdrawn_number
    if withdrawn is None:
        require(state, {"opened", "rejected"}, "be judged")
    elif state.withdrawn_for_good:
        raise NotAllowedNow(
            f"DR event {state.dr_event_id} was cancelled, whatever the number; use another event id"
        )
    elif notice.modification_number <= withdrawn:
        raise NotAllowedNow(
            f"DR event {state.dr_event_id} was cancelled with number {withdrawn}; only a higher one is judged"
        )
    else:
        require(state, {"opened", "rejected", "cancelled"}, "be judged")


def _require_newer(state: DREventState, notice: Notice, *, also_ended: bool = False) -> None:
    require(state, RUNNING | ENDED if also_ended else RUNNING, "be modified")
    if notice.modification_number <= state.modification_number:
        raise NotAllowedNow(
            f"DR event {state.dr_event_id} stands at modification {state.modification_number}; use a higher one"
        )
