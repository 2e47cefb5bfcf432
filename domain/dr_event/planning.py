"""Mixin of `DREvent` for its plan: scheduling, replanning, pre-emption and abort."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from domain.dr_event import plan_events
from domain.dr_event.mixin_base import DREventMixin
from domain.dr_event.reasons import summarized
from domain.dr_event.state import PLANNED, RUNNING, FacilityTarget, Reason, ReplanCause
from domain.event_sourcing.aggregate import Provenance


class Planning(DREventMixin):
    """The part of `DREvent` that records the plan."""

    def schedule(
        self,
        provenance: Provenance,
        *,
        prepare_at: datetime,
        targets: tuple[FacilityTarget, ...],
        missing_kw: float,
    ) -> None:
        """Record the first plan."""
        self._require({"accepted"}, "be scheduled")
        self.record(
            plan_events.Scheduled,
            provenance,
            plan_revision=self.state.plan_revision + 1,
            prepare_at=prepare_at,
            targets=targets,
            missing_kw=missing_kw,
        )

    def replan(
        self,
        provenance: Provenance,
        *,
        prepare_at: datetime,
        targets: tuple[FacilityTarget, ...],
        missing_kw: float,
        cause: ReplanCause,
    ) -> None:
        """Change the plan. A DR event whose start was postponed is prepared again later."""
        self._require(PLANNED, "be planned anew")
        early = prepare_at > provenance.recorded_at
        self.record(
            plan_events.Replanned,
            provenance,
            plan_revision=self.state.plan_revision + 1,
            prepare_at=prepare_at,
            targets=targets,
            missing_kw=missing_kw,
            cause=cause,
            back_to_scheduled=early and self.state.status == "preparing",
        )

    def preempt(self, provenance: Provenance, *, facility_ids: tuple[str, ...], by_dr_event_id: UUID) -> None:
        """Lose facilities to a DR event of higher priority."""
        self._require(RUNNING, "lose facilities")
        self.record(
            plan_events.Preempted, provenance, facility_ids=facility_ids, by_dr_event_id=by_dr_event_id
        )

    def abort_batch(self, provenance: Provenance, *, facility_ids: tuple[str, ...], reason: str) -> None:
        """End the whole batch, in the order of `facility_ids`."""
        self._require(PLANNED, "be aborted")
        self.record(
            plan_events.BatchAborted,
            provenance,
            facility_ids=facility_ids,
            reason=reason,
            aborted_at=provenance.recorded_at,
            while_active=self.state.status == "active",
        )

    def refuse_planning(
        self, provenance: Provenance, *, reasons: tuple[Reason, ...], retry_at: datetime
    ) -> None:
        """Record why no plan is possible, and from when on planning is retried; equal reasons record nothing."""
        self._require({"accepted"}, "be planned")
        listed, counts = summarized(reasons)
        if self.state.plan_retry_at is None or (listed, counts) != (
            self.state.reasons,
            self.state.reason_counts,
        ):
            self.record(
                plan_events.PlanningRefused,
                provenance,
                reasons=listed,
                reason_counts=counts,
                retry_at=retry_at,
            )
