"""Domain events of a DR event, except those of its plan, and their effect on its state. Used as
`DREvent.<Name>`.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from msgspec import field
from msgspec.structs import replace

from domain.dr_event.event_base import Event
from domain.dr_event.state import (
    ORDINARY_KIND,
    Batch,
    CallbackKind,
    DREventState,
    EventPrice,
    Notice,
    Outcome,
    Reason,
    measurement_status,
)
from domain.event_sourcing.aggregate import CreationEvent


def _number(state: DREventState, given: int | None) -> int:
    return state.modification_number if given is None else max(given, state.modification_number)


def _measured(state: DREventState, measured: Measured | Remeasured) -> DREventState:
    return replace(
        state,
        settlement_status=state.settlement_status
        if state.settlement is not None
        else measurement_status(measured.delivered_kw),
        delivered_kw=measured.delivered_kw,
        measured_facilities=measured.measured_facilities,
        unmeasured=measured.unmeasured_facilities,
        unmeasured_reasons=measured.unmeasured_reasons,
        measurements=state.measurements + 1,
    )


class Opened(CreationEvent, Event, frozen=True, kw_only=True):
    """The first notification of this event arrived."""

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
    """The notice is feasible, and its facilities are reserved."""

    TOPIC: ClassVar[str] = "dr-event.accepted.v1"
    notice: Notice
    program_version: int
    capacity_kw: float
    capacity_source: str
    shortfall_kw: float
    capacity_degraded_kw: float = 0.0
    start_offset_s: int | None = None
    """Drawn once, if the notice requested a random start."""
    blocked_facilities: int | None = None
    """How many forecasts block under the guardrail, as judged then."""
    at_risk_facilities: int | None = None
    """How many others have a degraded forecast, or none where forecasts reach."""
    kind: str = ORDINARY_KIND
    prices: tuple[EventPrice, ...] = ()

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            status="accepted",
            notice=self.notice,
            kind=self.kind,
            prices=self.prices,
            modification_number=self.notice.modification_number,
            withdrawn_number=None,
            withdrawn_for_good=False,
            reasons=(),
            reason_counts={},
            capacity_degraded_kw=self.capacity_degraded_kw,
            start_offset_s=self.start_offset_s,
            program_version=self.program_version,
            capacity_kw=self.capacity_kw,
            capacity_source=self.capacity_source,
            shortfall_kw=self.shortfall_kw,
            blocked_facilities=self.blocked_facilities,
            at_risk_facilities=self.at_risk_facilities,
        )


class Rejected(Event, frozen=True, kw_only=True):
    """The notice is not feasible; its reasons are recorded as the utility is told them."""

    TOPIC: ClassVar[str] = "dr-event.rejected.v1"
    notice: Notice
    reasons: tuple[Reason, ...]
    reason_counts: dict[str, int] = field(default_factory=dict)
    """Code -> how many reasons have it; empty where `reasons` lists all."""

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            status="rejected",
            notice=self.notice,
            reasons=self.reasons,
            reason_counts=self.reason_counts,
        )


class PreparationStarted(Event, frozen=True, kw_only=True):
    """The preparation of the facilities began."""

    TOPIC: ClassVar[str] = "dr-event.preparation-started.v1"
    facility_ids: tuple[str, ...]

    def evolve(self, state: DREventState) -> DREventState:
        return replace(state, status="preparing")


class Started(Event, frozen=True, kw_only=True):
    """The window began."""

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
    """Every dispatch is final."""

    TOPIC: ClassVar[str] = "dr-event.completed.v1"
    outcome: Outcome
    batch: Batch
    failed_facilities: tuple[str, ...]
    opted_out_facilities: tuple[str, ...] = ()

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            status="completed",
            outcome=self.outcome,
            batch=self.batch,
            failed_facilities=self.failed_facilities,
            opted_out_facilities=self.opted_out_facilities,
        )


class Cancelled(Event, frozen=True, kw_only=True):
    """Cancelled before the start."""

    TOPIC: ClassVar[str] = "dr-event.cancelled.v1"
    facility_ids: tuple[str, ...]
    reason: str
    modification_number: int | None = None
    """The number of the utility's cancellation. None: it had no number, or an operator cancelled."""

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state, status="cancelled", modification_number=_number(state, self.modification_number)
        )


class CancelledWhileActive(Event, frozen=True, kw_only=True):
    """The window ends now: buildings are restored, and the power delivered so far is credited."""

    TOPIC: ClassVar[str] = "dr-event.cancelled-while-active.v1"
    facility_ids: tuple[str, ...]
    reason: str
    cancelled_at: datetime
    modification_number: int | None = None

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            status="cancelled_while_active",
            released_at=self.cancelled_at,
            modification_number=_number(state, self.modification_number),
        )


class WoundUp(Event, frozen=True, kw_only=True):
    """Every dispatch of a DR event cancelled while active is final."""

    TOPIC: ClassVar[str] = "dr-event.wound-up.v1"
    batch: Batch
    failed_facilities: tuple[str, ...]
    opted_out_facilities: tuple[str, ...] = ()

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            batch=self.batch,
            failed_facilities=self.failed_facilities,
            opted_out_facilities=self.opted_out_facilities,
        )


class Withdrawn(Event, frozen=True, kw_only=True):
    """Cancelled before it was ever accepted. A notice without a higher number is refused from now on."""

    TOPIC: ClassVar[str] = "dr-event.withdrawn.v1"
    reason: str
    modification_number: int
    whatever_number: bool = False
    """The cancellation had no number, so that every notice is refused."""

    def evolve(self, state: DREventState) -> DREventState:
        return replace(
            state,
            status="cancelled",
            withdrawn_number=self.modification_number,
            withdrawn_for_good=state.withdrawn_for_good or self.whatever_number,
            notice=None,
            reasons=(),
        )


class Measured(Event, frozen=True, kw_only=True):
    """The power that the facilities delivered together: mean kW over the window."""

    TOPIC: ClassVar[str] = "dr-event.measured.v2"
    delivered_kw: float | None
    """Of the facilities that could be measured; None: facilities were dispatched, and none could be measured."""
    measured_facilities: int
    unmeasured_facilities: tuple[str, ...]
    unmeasured_reasons: dict[str, int]
    """Why -> how many facilities; at most MAX_UNMEASURED_REASONS."""

    def evolve(self, state: DREventState) -> DREventState:
        return _measured(state, self)


class Remeasured(Event, frozen=True, kw_only=True):
    """A new sum after a facility was measured again; the earlier one stays in the log."""

    TOPIC: ClassVar[str] = "dr-event.remeasured.v2"
    previous_kw: float | None
    """None: it was not measurable."""
    delivered_kw: float | None
    measured_facilities: int
    unmeasured_facilities: tuple[str, ...]
    unmeasured_reasons: dict[str, int]

    def evolve(self, state: DREventState) -> DREventState:
        return _measured(state, self)


class CallbackRequested(Event, frozen=True, kw_only=True):
    """A callback is to be sent to the utility; recorded before it is sent."""

    TOPIC: ClassVar[str] = "dr-event.callback-requested.v1"
    callback_id: UUID
    kind: CallbackKind
    url: str
    """As recorded until the addresses had a table of their own; empty where `address_id` names one."""
    address_id: UUID | None = None
    body: str
    """The JSON document, exactly as it will be signed and sent."""

    def evolve(self, state: DREventState) -> DREventState:
        return replace(state, callbacks={**state.callbacks, str(self.callback_id): "requested"})


class CallbackDelivered(Event, frozen=True, kw_only=True):
    """The utility confirmed the callback."""

    TOPIC: ClassVar[str] = "dr-event.callback-delivered.v1"
    callback_id: UUID
    kind: CallbackKind
    attempts: int
    status_code: int

    def evolve(self, state: DREventState) -> DREventState:
        return replace(state, callbacks={**state.callbacks, str(self.callback_id): "delivered"})


class CallbackUndeliverable(Event, frozen=True, kw_only=True):
    """The callback could not be delivered."""

    TOPIC: ClassVar[str] = "dr-event.callback-undeliverable.v1"
    callback_id: UUID
    kind: CallbackKind
    attempts: int
    reason: str

    def evolve(self, state: DREventState) -> DREventState:
        return replace(state, callbacks={**state.callbacks, str(self.callback_id): "undeliverable"})
