"""What can happen to a DR event: every domain event, and how it evolves the state. Written as `DREvent.<Name>`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from msgspec.structs import replace

from domain.dr_event.state import (
    Batch,
    CallbackKind,
    DREventState,
    FacilityTarget,
    Notice,
    Outcome,
    Reason,
)
from domain.event_sourcing import Aggregate, CreationEvent


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
        return replace(state, reasons=self.reasons, plan_retry_at=self.retry_at)


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
