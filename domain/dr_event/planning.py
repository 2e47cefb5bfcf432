"""Decisions of `DREvent` about its plan: scheduling, replanning, pre-emption and abort; pure functions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from domain.dr_event import plan_events
from domain.dr_event.decisions import DREventDecision, require
from domain.dr_event.reasons import summarized
from domain.dr_event.state import PLANNED, RUNNING, DREventState, FacilityTarget, Reason, ReplanCause
from domain.event_sourcing.aggregate import pending


def schedule(
    state: DREventState,
    *,
    prepare_at: datetime,
    targets: tuple[FacilityTarget, ...],
    missing_kw: float,
) -> DREventDecision:
    """Record the first plan."""
    require(state, {"accepted"}, "be scheduled")
    yield pending(
        plan_events.Scheduled,
        plan_revision=state.plan_revision + 1,
        prepare_at=prepare_at,
        targets=targets,
        missing_kw=missing_kw,
    )


def replan(
    state: DREventState,
    now: datetime,
    *,
    prepare_at: datetime,
    targets: tuple[FacilityTarget, ...],
    missing_kw: float,
    cause: ReplanCause,
) -> DREventDecision:
    """Change the plan. A DR event whose start was postponed is prepared again later."""
    require(state, PLANNED, "be planned anew")
    early = prepare_at > now
    yield pending(
        plan_events.Replanned,
        plan_revision=state.plan_revision + 1,
        prepare_at=prepare_at,
        targets=targets,
        missing_kw=missing_kw,
        cause=cause,
        back_to_scheduled=early and state.status == "preparing",
    )


def preempt(state: DREventState, *, facility_ids: tuple[str, ...], by_dr_event_id: UUID) -> DREventDecision:
    """Lose facilities to a DR event of higher priority."""
    require(state, RUNNING, "lose facilities")
    yield pending(plan_events.Preempted, facility_ids=facility_ids, by_dr_event_id=by_dr_event_id)


def abort_batch(
    state: DREventState, now: datetime, *, facility_ids: tuple[str, ...], reason: str
) -> DREventDecision:
    """End the whole batch, in the order of `facility_ids`."""
    require(state, PLANNED, "be aborted")
    yield pending(
        plan_events.BatchAborted,
        facility_ids=facility_ids,
        reason=reason,
        aborted_at=now,
        while_active=state.status == "active",
    )


def refuse_planning(
    state: DREventState, *, reasons: tuple[Reason, ...], retry_at: datetime
) -> DREventDecision:
    """Record why no plan is possible, and from when on planning is retried; equal reasons record nothing."""
    require(state, {"accepted"}, "be planned")
    listed, counts = summarized(reasons)
    if state.plan_retry_at is None or (listed, counts) != (
        state.reasons,
        state.reason_counts,
    ):
        yield pending(plan_events.PlanningRefused, reasons=listed, reason_counts=counts, retry_at=retry_at)
