"""The DR event aggregate and all its methods. Many of its decisions are functions of other modules."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self, TypeAlias

from domain.dr_event import (
    callbacks,
    event_base,
    events,
    notices,
    plan_events,
    planning,
    settlement,
    settlement_events,
)
from domain.dr_event.decisions import require
from domain.dr_event.state import RUNNING, Batch, CallbackKind, DREventState, Outcome
from domain.errors import ReasonRequired
from domain.event_sourcing.aggregate import Aggregate, Provenance, decision, timed_decision
from domain.identifiers import callback_id, dr_event_id


class DREvent(Aggregate[DREventState]):
    """A DR event. The current time is an argument of its commands."""

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
    Remeasured: TypeAlias = events.Remeasured
    Settled: TypeAlias = settlement_events.Settled
    Resettled: TypeAlias = settlement_events.Resettled
    CallbackRequested: TypeAlias = events.CallbackRequested
    CallbackDelivered: TypeAlias = events.CallbackDelivered
    CallbackUndeliverable: TypeAlias = events.CallbackUndeliverable

    accept = decision(notices.accept)
    reject = decision(notices.reject)
    modify = decision(notices.modify)
    reprice = decision(notices.reprice)
    refuse_modification = decision(notices.refuse_modification)
    withdraw = decision(notices.withdraw)
    schedule = decision(planning.schedule)
    replan = timed_decision(planning.replan)
    preempt = decision(planning.preempt)
    abort_batch = timed_decision(planning.abort_batch)
    refuse_planning = decision(planning.refuse_planning)
    measure = decision(callbacks.measure)
    remeasure = decision(callbacks.remeasure)
    callback_delivered = decision(callbacks.callback_delivered)
    callback_undeliverable = decision(callbacks.callback_undeliverable)
    settle = timed_decision(settlement.settle)

    @classmethod
    def open(cls, provenance: Provenance, *, utility_id: str, utility_event_id: str) -> Self:
        """Begin the stream of a utility's event."""
        return cls.open_stream(
            dr_event_id(utility_id, utility_event_id),
            cls.Opened,
            provenance,
            utility_id=utility_id,
            utility_event_id=utility_event_id,
        )

    def start_preparation(self, provenance: Provenance, *, now: datetime) -> None:
        """Begin the preparation within the lead time. A call that is too early, or repeated, records nothing."""
        if self.state.status == "scheduled" and self.state.prepare_at and now >= self.state.prepare_at:
            self.record(self.PreparationStarted, provenance, facility_ids=self.state.dispatched)

    def start(self, provenance: Provenance, *, now: datetime) -> None:
        """Begin the window. A call that is too early, or repeated, records nothing."""
        notice = self.state.notice
        if self.state.status == "preparing" and notice and notice.starts_at <= now:
            self.record(self.Started, provenance, facility_ids=self.state.dispatched)

    def end(self, provenance: Provenance, *, now: datetime) -> None:
        """End the window. A call that is too early, or repeated, records nothing."""
        notice = self.state.notice
        if self.state.status == "active" and notice and notice.ends_at <= now:
            self.record(self.Ended, provenance, facility_ids=self.state.dispatched)

    def give_up_planning(self, provenance: Provenance, *, now: datetime) -> None:
        """Complete a DR event as failed if its window began without a plan."""
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
        """Complete the DR event once every dispatch is final. The outcome is `full` only if every facility
        served.
        """
        require(self.state, {"recovering"}, "be completed")
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
        """Record that every dispatch of a DR event cancelled while active is final; recorded once."""
        require(self.state, {"cancelled_while_active"}, "be wound up")
        if self.state.batch is None:
            self.record(
                self.WoundUp,
                provenance,
                batch=batch,
                failed_facilities=failed_facilities,
                opted_out_facilities=opted_out_facilities,
            )

    def cancel(self, provenance: Provenance, *, reason: str, modification_number: int | None = None) -> None:
        """Cancel before the start or during the window. A repeated call records nothing."""
        if not reason.strip():
            raise ReasonRequired("a cancellation needs a reason")
        status = self.state.status
        if status in {"cancelled", "cancelled_while_active"}:
            return
        require(self.state, RUNNING, "be cancelled")
        stated = {
            "reason": reason,
            "facility_ids": self.state.dispatched,
            "modification_number": modification_number,
        }
        if status == "active":
            self.record(self.CancelledWhileActive, provenance, cancelled_at=provenance.recorded_at, **stated)
        else:
            self.record(self.Cancelled, provenance, **stated)

    def request_callback(self, provenance: Provenance, *, kind: CallbackKind, body: str) -> None:
        """Record that a callback is to be sent, if the utility gave an address."""
        wanted = callback_id(self.id, kind, self.version)
        decided = callbacks.request_callback(self.state, callback_id=wanted, kind=kind, body=body)
        self.record_all(provenance, decided)

    @property
    def can_be_settled(self) -> bool:
        """True if it is over, and every facility is measured or not measurable."""
        return settlement.can_be_settled(self.state)

    def check_can_be_settled(self) -> None:
        """Raises NotAllowedNow, which says what is waited for."""
        settlement.check_can_be_settled(self.state)
