"""What a DR event decides: which command is allowed when, and what is recorded of it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self, TypeAlias
from uuid import UUID

from domain.dr_event import event_base, events, plan_events
from domain.dr_event.state import (
    PLANNED,
    RUNNING,
    Batch,
    DREventState,
    DREventStatus,
    FacilityTarget,
    Notice,
    Outcome,
    Reason,
    ReplanCause,
)
from domain.dr_event.telling import Telling
from domain.errors import NotAllowedNow, ReasonRequired
from domain.event_sourcing import Aggregate, Provenance
from domain.identifiers import dr_event_id


class DREvent(Telling, Aggregate[DREventState]):
    """Decides what a DR event may do next; time is given, never read."""

    TOPIC: ClassVar[str] = "dr-event"

    Event: TypeAlias = event_base.Event
    Opened: TypeAlias = events.Opened
    Accepted: TypeAlias = events.Accepted
    Rejected: TypeAlias = events.Rejected
    Scheduled: TypeAlias = plan_events.Scheduled
    Modified: TypeAlias = plan_events.Modified
    ModificationRefused: TypeAlias = plan_events.ModificationRefused
    Replanned: TypeAlias = plan_events.Replanned
    Preempted: TypeAlias = plan_events.Preempted
    BatchAborted: TypeAlias = plan_events.BatchAborted
    PlanningRefused: TypeAlias = plan_events.PlanningRefused
    PreparationStarted: TypeAlias = events.PreparationStarted
    Started: TypeAlias = events.Started
    Ended: TypeAlias = events.Ended
    Completed: TypeAlias = events.Completed
    Cancelled: TypeAlias = events.Cancelled
    CancelledWhileActive: TypeAlias = events.CancelledWhileActive
    WoundUp: TypeAlias = events.WoundUp
    Withdrawn: TypeAlias = events.Withdrawn
    Measured: TypeAlias = events.Measured
    CallbackRequested: TypeAlias = events.CallbackRequested
    CallbackDelivered: TypeAlias = events.CallbackDelivered
    CallbackUndeliverable: TypeAlias = events.CallbackUndeliverable

    @classmethod
    def open(cls, provenance: Provenance, *, utility_id: str, utility_event_id: str) -> Self:
        return cls.open_stream(
            dr_event_id(utility_id, utility_event_id),
            cls.Opened,
            provenance,
            utility_id=utility_id,
            utility_event_id=utility_event_id,
        )

    def accept(
        self,
        provenance: Provenance,
        *,
        notice: Notice,
        program_version: int,
        capacity_kw: float,
        capacity_source: str,
        shortfall_kw: float,
        capacity_degraded_kw: float = 0.0,
        start_offset_s: int | None = None,
    ) -> None:
        """Accept the notice as judged feasible; its window is the one in force from now on."""
        self._require_judgeable(notice)
        self.record(
            self.Accepted,
            provenance,
            notice=notice,
            program_version=program_version,
            capacity_kw=capacity_kw,
            capacity_source=capacity_source,
            shortfall_kw=shortfall_kw,
            capacity_degraded_kw=capacity_degraded_kw,
            start_offset_s=start_offset_s,
        )

    def reject(self, provenance: Provenance, *, notice: Notice, reasons: tuple[Reason, ...]) -> None:
        self._require_judgeable(notice)
        if not reasons:
            raise ReasonRequired("a rejection names its reasons")
        self.record(self.Rejected, provenance, notice=notice, reasons=reasons)

    def modify(
        self,
        provenance: Provenance,
        *,
        notice: Notice,
        capacity_kw: float,
        capacity_source: str,
        capacity_degraded_kw: float,
        shortfall_kw: float,
        start_offset_s: int | None,
    ) -> None:
        """Take over a changed notice that was judged feasible; the plan is to follow."""
        self._require_newer(notice)
        self.record(
            self.Modified,
            provenance,
            notice=notice,
            capacity_kw=capacity_kw,
            capacity_source=capacity_source,
            capacity_degraded_kw=capacity_degraded_kw,
            shortfall_kw=shortfall_kw,
            start_offset_s=start_offset_s,
        )

    def refuse_modification(
        self, provenance: Provenance, *, notice: Notice, reasons: tuple[Reason, ...]
    ) -> None:
        """Record why a changed notice is not feasible; the old one stands."""
        self._require_newer(notice)
        if not reasons:
            raise ReasonRequired("a refusal names its reasons")
        self.record(self.ModificationRefused, provenance, notice=notice, reasons=reasons)

    def schedule(
        self,
        provenance: Provenance,
        *,
        prepare_at: datetime,
        targets: tuple[FacilityTarget, ...],
        missing_kw: float,
    ) -> None:
        self._require({"accepted"}, "be scheduled")
        self.record(
            self.Scheduled,
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
        """Change the plan; a DR event whose start was moved away is prepared again in its time."""
        self._require(PLANNED, "be planned anew")
        early = prepare_at > provenance.recorded_at
        self.record(
            self.Replanned,
            provenance,
            plan_revision=self.state.plan_revision + 1,
            prepare_at=prepare_at,
            targets=targets,
            missing_kw=missing_kw,
            cause=cause,
            back_to_scheduled=early and self.state.status == "preparing",
        )

    def preempt(self, provenance: Provenance, *, facility_ids: tuple[str, ...], by_dr_event_id: UUID) -> None:
        """Lose facilities to a stronger DR event."""
        self._require(RUNNING, "lose facilities")
        self.record(self.Preempted, provenance, facility_ids=facility_ids, by_dr_event_id=by_dr_event_id)

    def abort_batch(self, provenance: Provenance, *, facility_ids: tuple[str, ...], reason: str) -> None:
        """End the whole batch, in the order of `facility_ids`."""
        self._require(PLANNED, "be aborted")
        self.record(
            self.BatchAborted,
            provenance,
            facility_ids=facility_ids,
            reason=reason,
            aborted_at=provenance.recorded_at,
            while_active=self.state.status == "active",
        )

    def refuse_planning(
        self, provenance: Provenance, *, reasons: tuple[Reason, ...], retry_at: datetime
    ) -> None:
        self._require({"accepted"}, "be planned")
        self.record(self.PlanningRefused, provenance, reasons=reasons, retry_at=retry_at)

    def start_preparation(self, provenance: Provenance, *, now: datetime) -> None:
        """Begin to prepare, once inside the lead time; too early, or again, records nothing."""
        if self.state.status == "scheduled" and self.state.prepare_at and now >= self.state.prepare_at:
            self.record(self.PreparationStarted, provenance, facility_ids=self._planned_facilities())

    def start(self, provenance: Provenance, *, now: datetime) -> None:
        """Begin the window; too early, or again, records nothing."""
        notice = self.state.notice
        if self.state.status == "preparing" and notice and notice.starts_at <= now:
            self.record(self.Started, provenance, facility_ids=self._planned_facilities())

    def end(self, provenance: Provenance, *, now: datetime) -> None:
        """End the window; too early, or again, records nothing."""
        notice = self.state.notice
        if self.state.status == "active" and notice and notice.ends_at <= now:
            self.record(self.Ended, provenance, facility_ids=self._planned_facilities())

    def give_up_planning(self, provenance: Provenance, *, now: datetime) -> None:
        """Complete as failed a DR event whose window began without a plan."""
        notice = self.state.notice
        if self.state.status != "accepted" or notice is None or now < notice.starts_at:
            return
        asked = len(notice.facility_ids)
        self.record(
            self.Completed,
            provenance,
            outcome="failed",
            batch=Batch(asked=asked, prepared=0, committed=0, failed=asked, restored=0),
            failed_facilities=notice.facility_ids,
        )

    def complete(
        self,
        provenance: Provenance,
        *,
        batch: Batch,
        failed_facilities: tuple[str, ...],
        opted_out_facilities: tuple[str, ...] = (),
    ) -> None:
        """Close the DR event once every dispatch is final; `full` only if all that were asked served."""
        self._require({"recovering"}, "be completed")
        outcome: Outcome = "partial" if batch.served else "failed"
        if batch.served == batch.asked:
            outcome = "full"
        self.record(
            self.Completed,
            provenance,
            outcome=outcome,
            batch=batch,
            failed_facilities=failed_facilities,
            opted_out_facilities=opted_out_facilities,
        )

    def wind_up(
        self,
        provenance: Provenance,
        *,
        batch: Batch,
        failed_facilities: tuple[str, ...],
        opted_out_facilities: tuple[str, ...],
    ) -> None:
        """Of one cancelled while active: every dispatch is final. Only once."""
        self._require({"cancelled_while_active"}, "be wound up")
        if self.state.batch is None:
            self.record(
                self.WoundUp,
                provenance,
                batch=batch,
                failed_facilities=failed_facilities,
                opted_out_facilities=opted_out_facilities,
            )

    def cancel(self, provenance: Provenance, *, reason: str, modification_number: int | None = None) -> None:
        """Cancel before the start, or while the window runs; cancelling again records nothing."""
        if not reason.strip():
            raise ReasonRequired("a cancellation needs a reason")
        status = self.state.status
        if status in {"cancelled", "cancelled_while_active"}:
            return
        self._require(RUNNING, "be cancelled")
        stated = {
            "reason": reason,
            "facility_ids": self._planned_facilities(),
            "modification_number": modification_number,
        }
        if status == "active":
            self.record(self.CancelledWhileActive, provenance, cancelled_at=provenance.recorded_at, **stated)
        else:
            self.record(self.Cancelled, provenance, **stated)

    def withdraw(self, provenance: Provenance, *, modification_number: int, reason: str) -> None:
        """Cancel what was never accepted, so that a notice that comes later is known to be cancelled."""
        if not reason.strip():
            raise ReasonRequired("a cancellation needs a reason")
        known = self.state.withdrawn_number
        if known is not None and known >= modification_number:
            return
        if known is None:
            self._require({"opened", "rejected"}, "be withdrawn")
        self.record(self.Withdrawn, provenance, modification_number=modification_number, reason=reason)

    def _planned_facilities(self) -> tuple[str, ...]:
        """All that ever were: those that left are asked too, and have nothing more to do."""
        return self.state.dispatched

    def _require_judgeable(self, notice: Notice) -> None:
        withdrawn = self.state.withdrawn_number
        if withdrawn is None:
            self._require({"opened", "rejected"}, "be judged")
        elif notice.modification_number <= withdrawn:
            raise NotAllowedNow(
                f"DR event {self.id} was cancelled with number {withdrawn}; only a higher one is judged"
            )
        else:
            self._require({"opened", "rejected", "cancelled"}, "be judged")

    def _require_newer(self, notice: Notice) -> None:
        self._require(RUNNING, "be modified")
        if notice.modification_number <= self.state.modification_number:
            raise NotAllowedNow(
                f"DR event {self.id} stands at modification {self.state.modification_number}; use a higher one"
            )

    def _require(self, allowed: frozenset[DREventStatus] | set[DREventStatus], doing: str) -> None:
        if self.state.status not in allowed:
            raise NotAllowedNow(
                f"DR event {self.id} is {self.state.status} and cannot {doing}; "
                f"allowed when {', '.join(sorted(allowed))}"
            )
