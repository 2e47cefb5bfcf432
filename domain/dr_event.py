"""A demand-response event: one aggregate per event of a utility; the batch of the saga.

`status` is the execution state, `settlement_status` another field. The window is half-open, UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal, Self
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import NotAllowedNow, ReasonRequired
from domain.event_sourcing import Aggregate, CreationEvent, Provenance
from domain.identifiers import callback_id, dr_event_id

DREventStatus = Literal[
    "opened",
    "rejected",
    "accepted",
    "scheduled",
    "preparing",
    "active",
    "recovering",
    "completed",
    "cancelled",
    "cancelled_while_active",
]
Outcome = Literal["full", "partial", "failed"]
SettlementStatus = Literal["none", "measured", "settled", "resettled"]
CallbackKind = Literal["accepted", "rejected", "started", "completed", "cancelled", "measured", "settled"]

BEFORE_START: frozenset[DREventStatus] = frozenset({"accepted", "scheduled", "preparing"})
FINAL: frozenset[DREventStatus] = frozenset({"completed", "cancelled", "cancelled_while_active"})


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What the utility asked for, as it asked."""

    notification_id: str
    modification_number: int
    program_id: str
    starts_at: datetime
    ends_at: datetime
    target_kw: float
    facility_ids: tuple[str, ...]
    priority: int
    callback_url: str | None = None


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of a refusal; `code` is stable."""

    code: str
    detail: str
    facility_id: str | None = None


class FacilityTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's share in the plan and the forecast that it rests on."""

    facility_id: str
    target_kw: float
    headroom_kw: float
    forecast_id: UUID | None
    forecast_position: int | None
    data_quality: str
    blocked: bool


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """How many facilities got how far."""

    asked: int
    prepared: int
    committed: int
    failed: int
    restored: int


class DREventState(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    status: DREventStatus = "opened"
    settlement_status: SettlementStatus = "none"
    notice: Notice | None = None
    reasons: tuple[Reason, ...] = ()
    program_version: int = 0
    capacity_kw: float = 0.0
    capacity_source: str = ""
    shortfall_kw: float = 0.0
    plan_revision: int = 0
    prepare_at: datetime | None = None
    targets: tuple[FacilityTarget, ...] = ()
    missing_kw: float = 0.0
    outcome: Outcome | None = None
    batch: Batch | None = None
    delivered_kw: float | None = None
    callbacks: dict[str, Literal["requested", "delivered", "undeliverable"]] = {}

    @property
    def judged_notice(self) -> Notice:
        """The notice that it was judged by. Raises NotAllowedNow before that."""
        if self.notice is None:
            raise NotAllowedNow(f"DR event {self.dr_event_id} was not judged yet; it has no notice")
        return self.notice


class DREvent(Aggregate[DREventState]):
    """Decides what a DR event may do next; time is given, never read."""

    TOPIC: ClassVar[str] = "dr-event"

    class Event(Aggregate.Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "dr-event.event"

    class Opened(CreationEvent, Event, frozen=True, kw_only=True):
        """The utility spoke of this event for the first time."""

        TOPIC: ClassVar[str] = "dr-event.opened.v1"
        originator_topic: str
        utility_id: str
        utility_event_id: str

        def initial_state(self) -> DREventState:
            return DREventState(
                dr_event_id=self.originator_id,
                utility_id=self.utility_id,
                utility_event_id=self.utility_event_id,
            )

    class Accepted(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "dr-event.accepted.v1"
        notice: Notice
        program_version: int
        capacity_kw: float
        capacity_source: str
        shortfall_kw: float

        def evolve(self, state: DREventState) -> DREventState:
            return replace(
                state,
                status="accepted",
                notice=self.notice,
                reasons=(),
                program_version=self.program_version,
                capacity_kw=self.capacity_kw,
                capacity_source=self.capacity_source,
                shortfall_kw=self.shortfall_kw,
            )

    class Rejected(Event, frozen=True, kw_only=True):
        """Judged infeasible at the door, with every reason."""

        TOPIC: ClassVar[str] = "dr-event.rejected.v1"
        notice: Notice
        reasons: tuple[Reason, ...]

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, status="rejected", notice=self.notice, reasons=self.reasons)

    class Scheduled(Event, frozen=True, kw_only=True):
        """The plan was made: targets per facility."""

        TOPIC: ClassVar[str] = "dr-event.scheduled.v1"
        plan_revision: int
        prepare_at: datetime
        targets: tuple[FacilityTarget, ...]
        missing_kw: float

        def evolve(self, state: DREventState) -> DREventState:
            return replace(
                state,
                status="scheduled",
                plan_revision=self.plan_revision,
                prepare_at=self.prepare_at,
                targets=self.targets,
                missing_kw=self.missing_kw,
            )

    class PlanningRefused(Event, frozen=True, kw_only=True):
        """No plan could be made on what is known; it is tried again until the start."""

        TOPIC: ClassVar[str] = "dr-event.planning-refused.v1"
        reasons: tuple[Reason, ...]
        retry_at: datetime

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, reasons=self.reasons)

    class PreparationStarted(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "dr-event.preparation-started.v1"
        facility_ids: tuple[str, ...]

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, status="preparing")

    class Started(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "dr-event.started.v1"
        facility_ids: tuple[str, ...]

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, status="active")

    class Ended(Event, frozen=True, kw_only=True):
        """The window is over; buildings are being restored."""

        TOPIC: ClassVar[str] = "dr-event.ended.v1"
        facility_ids: tuple[str, ...]

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, status="recovering")

    class Completed(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "dr-event.completed.v1"
        outcome: Outcome
        batch: Batch
        failed_facilities: tuple[str, ...]

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, status="completed", outcome=self.outcome, batch=self.batch)

    class Cancelled(Event, frozen=True, kw_only=True):
        """Cancelled before the start."""

        TOPIC: ClassVar[str] = "dr-event.cancelled.v1"
        facility_ids: tuple[str, ...]
        reason: str

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, status="cancelled")

    class Measured(Event, frozen=True, kw_only=True):
        """What the facilities delivered together, mean kW over the window."""

        TOPIC: ClassVar[str] = "dr-event.measured.v1"
        delivered_kw: float
        measured_facilities: int
        unmeasured_facilities: tuple[str, ...]

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, settlement_status="measured", delivered_kw=self.delivered_kw)

    class CallbackRequested(Event, frozen=True, kw_only=True):
        """The utility is to be told; recorded before it is told."""

        TOPIC: ClassVar[str] = "dr-event.callback-requested.v1"
        callback_id: UUID
        kind: CallbackKind
        url: str
        body: str
        """The JSON document to send, as it will be signed."""

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, callbacks={**state.callbacks, str(self.callback_id): "requested"})

    class CallbackDelivered(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "dr-event.callback-delivered.v1"
        callback_id: UUID
        kind: CallbackKind
        attempts: int
        status_code: int

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, callbacks={**state.callbacks, str(self.callback_id): "delivered"})

    class CallbackUndeliverable(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "dr-event.callback-undeliverable.v1"
        callback_id: UUID
        kind: CallbackKind
        attempts: int
        reason: str

        def evolve(self, state: DREventState) -> DREventState:
            return replace(state, callbacks={**state.callbacks, str(self.callback_id): "undeliverable"})

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
