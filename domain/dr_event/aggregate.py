"""What a DR event decides: which command is allowed when, and what is recorded of it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self, TypeAlias
from uuid import UUID

from domain.dr_event import events
from domain.dr_event.state import (
    BEFORE_START,
    Batch,
    CallbackKind,
    DREventState,
    DREventStatus,
    FacilityTarget,
    Notice,
    Outcome,
    Reason,
)
from domain.errors import NotAllowedNow, ReasonRequired
from domain.event_sourcing import Aggregate, Provenance
from domain.identifiers import callback_id, dr_event_id


class DREvent(Aggregate[DREventState]):
    """Decides what a DR event may do next; time is given, never read."""

    TOPIC: ClassVar[str] = "dr-event"

    Event: TypeAlias = events.Event
    Opened: TypeAlias = events.Opened
    Accepted: TypeAlias = events.Accepted
    Rejected: TypeAlias = events.Rejected
    Scheduled: TypeAlias = events.Scheduled
    PlanningRefused: TypeAlias = events.PlanningRefused
    PreparationStarted: TypeAlias = events.PreparationStarted
    Started: TypeAlias = events.Started
    Ended: TypeAlias = events.Ended
    Completed: TypeAlias = events.Completed
    Cancelled: TypeAlias = events.Cancelled
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
    ) -> None:
        """Accept the notice as judged feasible; only a new or rejected DR event can be accepted."""
        self._require({"opened", "rejected"}, "be judged")
        self.record(
            self.Accepted,
            provenance,
            notice=notice,
            program_version=program_version,
            capacity_kw=capacity_kw,
            capacity_source=capacity_source,
            shortfall_kw=shortfall_kw,
        )

    def reject(self, provenance: Provenance, *, notice: Notice, reasons: tuple[Reason, ...]) -> None:
        self._require({"opened", "rejected"}, "be judged")
        if not reasons:
            raise ReasonRequired("a rejection names its reasons")
        self.record(self.Rejected, provenance, notice=notice, reasons=reasons)

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

    def complete(self, provenance: Provenance, *, batch: Batch, failed_facilities: tuple[str, ...]) -> None:
        """Close the DR event once every dispatch is final; `full` only if none failed."""
        self._require({"recovering"}, "be completed")
        outcome: Outcome = "full" if batch.failed == 0 else "partial" if batch.committed else "failed"
        self.record(
            self.Completed, provenance, outcome=outcome, batch=batch, failed_facilities=failed_facilities
        )

    def cancel(self, provenance: Provenance, *, reason: str) -> None:
        """Cancel before the start; cancelling again records nothing."""
        if not reason.strip():
            raise ReasonRequired("a cancellation needs a reason")
        if self.state.status == "cancelled":
            return
        self._require(BEFORE_START, "be cancelled")
        self.record(self.Cancelled, provenance, reason=reason, facility_ids=self._planned_facilities())

    def measure(
        self,
        provenance: Provenance,
        *,
        delivered_kw: float,
        measured_facilities: int,
        unmeasured_facilities: tuple[str, ...],
    ) -> None:
        """Record what was delivered; only once."""
        if self.state.settlement_status != "none":
            return
        self._require({"completed"}, "be measured")
        self.record(
            self.Measured,
            provenance,
            delivered_kw=delivered_kw,
            measured_facilities=measured_facilities,
            unmeasured_facilities=unmeasured_facilities,
        )

    def request_callback(self, provenance: Provenance, *, kind: CallbackKind, body: str) -> None:
        """Record that the utility is to be told, if it gave an address."""
        notice = self.state.notice
        if notice is None or notice.callback_url is None:
            return
        self.record(
            self.CallbackRequested,
            provenance,
            callback_id=callback_id(self.id, kind, self.version),
            kind=kind,
            url=notice.callback_url,
            body=body,
        )

    def callback_delivered(
        self,
        provenance: Provenance,
        *,
        callback_id: UUID,
        kind: CallbackKind,
        attempts: int,
        status_code: int,
    ) -> None:
        if self._callback_is_open(callback_id):
            self.record(
                self.CallbackDelivered,
                provenance,
                callback_id=callback_id,
                kind=kind,
                attempts=attempts,
                status_code=status_code,
            )

    def callback_undeliverable(
        self, provenance: Provenance, *, callback_id: UUID, kind: CallbackKind, attempts: int, reason: str
    ) -> None:
        if self._callback_is_open(callback_id):
            self.record(
                self.CallbackUndeliverable,
                provenance,
                callback_id=callback_id,
                kind=kind,
                attempts=attempts,
                reason=reason,
            )

    def _planned_facilities(self) -> tuple[str, ...]:
        return tuple(target.facility_id for target in self.state.targets)

    def _callback_is_open(self, callback: UUID) -> bool:
        status = self.state.callbacks.get(str(callback))
        if status is None:
            raise NotAllowedNow(f"callback {callback} was never requested")
        return status != "delivered"

    def _require(self, allowed: frozenset[DREventStatus] | set[DREventStatus], doing: str) -> None:
        if self.state.status not in allowed:
            raise NotAllowedNow(
                f"DR event {self.id} is {self.state.status} and cannot {doing}; "
                f"allowed when {', '.join(sorted(allowed))}"
            )
