"""Commands on DR events, and their replies at the webhook."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from domain.dr_event import (
    ORDINARY_KIND,
    CallbackKind,
    EventPrice,
    Notice,
    Reason,
    ReplanCause,
    SettlementFigures,
)


class DREventCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command on a DR event as a whole. Its domain events may name each of its facilities."""


class JudgeNotification(DREventCommand, frozen=True, kw_only=True):
    """Judge a utility's notification: it is accepted, or rejected with its reasons. Reply: Judgement."""

    utility_id: str
    utility_event_id: str
    notice: Notice
    kind: str = ORDINARY_KIND
    prices: tuple[EventPrice, ...] = ()


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a notification."""

    dr_event_id: UUID
    status: Literal["accepted", "rejected", "already_known", "cancelled"]
    """`already_known`: the DR event was accepted before, and this notification changes nothing. `cancelled`:
    the utility has cancelled it, and this notification's number is not higher."""
    reasons: tuple[Reason, ...] = ()
    reason_counts: dict[str, int] = {}
    """Code -> how many reasons have it; empty where `reasons` lists all."""
    capacity_kw: float = 0.0
    capacity_source: str = ""
    shortfall_kw: float = 0.0
    capacity_degraded_kw: float = 0.0
    """The part of the capacity that is based on degraded forecasts."""
    blocked_facilities: int | None = None
    """Facilities whose forecasts block them under the program's guardrail; None: judged before they were counted."""
    at_risk_facilities: int | None = None
    """Others with a degraded forecast, or with none where forecasts reach."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """The window in force after acceptance: the start may have been drawn at random, or be now."""


class ModifyDREvent(DREventCommand, frozen=True, kw_only=True):
    """The utility changes its request; `notice` is complete and carries the number. Reply: Modification."""

    utility_id: str
    utility_event_id: str
    notice: Notice
    kind: str | None = None
    """None: as it is."""
    prices: tuple[EventPrice, ...] | None = None
    """All of them: they replace those in force. None: as they are."""


class Modification(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a modification. Unless it is `modified`, the DR event is unchanged."""

    dr_event_id: UUID
    status: Literal["modified", "refused", "stale", "repeated", "ended"]
    """`stale`, `repeated`: the number is lower than, or equal to, the one in force. `ended`: nothing can be
    changed any more."""
    dr_event_status: str
    modification_number: int
    """The number in force."""
    reasons: tuple[Reason, ...] = ()
    reason_counts: dict[str, int] = {}
    """Code -> how many reasons have it; empty where `reasons` lists all."""
    capacity_kw: float = 0.0
    capacity_source: str = ""
    shortfall_kw: float = 0.0
    capacity_degraded_kw: float = 0.0
    blocked_facilities: int | None = None
    at_risk_facilities: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class PlanDREvent(DREventCommand, frozen=True, kw_only=True):
    """Make the plan: allocate the target over the facilities by their forecasts."""

    dr_event_id: UUID


class StartPreparation(DREventCommand, frozen=True, kw_only=True):
    dr_event_id: UUID


class StartDREvent(DREventCommand, frozen=True, kw_only=True):
    dr_event_id: UUID


class EndDREvent(DREventCommand, frozen=True, kw_only=True):
    dr_event_id: UUID


class CompleteDREvent(DREventCommand, frozen=True, kw_only=True):
    """Complete the DR event, if every dispatch is final."""

    dr_event_id: UUID


class MeasureDREvent(DREventCommand, frozen=True, kw_only=True):
    """Sum the delivered energy, if every dispatch that ran is measured."""

    dr_event_id: UUID


class SettleDREvent(DREventCommand, frozen=True, kw_only=True):
    """Settle in money, if every facility is measured or not measurable; again if what it follows from changed.
    Reply: SettlementOutcome."""

    dr_event_id: UUID
    why: str
    by_newest_rule: bool = False
    """By the newest version of the program; else by that of the last settlement, at first that of the acceptance."""


class SettlementOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The revision in force."""

    dr_event_id: UUID
    revision: int
    recorded: bool
    """False: nothing changed since, and it stays in force."""
    figures: SettlementFigures


class ReplanDREvent(DREventCommand, frozen=True, kw_only=True):
    """Change the plan of a DR event that was modified, or that a facility has returned to."""

    dr_event_id: UUID
    cause: ReplanCause


class FitPlanToForecast(DREventCommand, frozen=True, kw_only=True):
    """Reduce the share of a facility that was unblocked, if the forecast in force gives it less headroom."""

    dr_event_id: UUID
    facility_id: str


class ReallocateShortfall(DREventCommand, frozen=True, kw_only=True):
    """Handle a facility that dropped out: continue, reallocate its share, or end the batch, as the program
    says."""

    dr_event_id: UUID


class CancelDREvent(DREventCommand, frozen=True, kw_only=True):
    """Cancel by DR event id, before the start or while it runs. Reply: Cancellation."""

    dr_event_id: UUID
    reason: str


class CancelNotifiedDREvent(DREventCommand, frozen=True, kw_only=True):
    """Cancel by the utility's own event id, even one that it has not notified yet. Reply: Cancellation.

    A number below the one in force is stale. Without a number (None) the event is cancelled whatever the
    number in force. If none is in force yet, every later notification is answered as cancelled, whatever its
    number.
    """

    utility_id: str
    utility_event_id: str
    modification_number: int | None
    reason: str
    may_withdraw: bool = True
    """Whether it may record the cancellation of an event that was never accepted. Otherwise that raises
    UnknownDREvent."""


CancellationOutcome = Literal["cancelled", "already_cancelled", "stale", "ended"]


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a cancellation; `status` is that of the DR event."""

    dr_event_id: UUID
    status: str
    outcome: CancellationOutcome = "cancelled"
    """`ended`: the window was over, so nothing is left to cancel. `stale`: a newer modification is in force."""


class RequestCallback(DREventCommand, frozen=True, kw_only=True):
    """Record that the utility is to receive a callback with the DR event's state."""

    dr_event_id: UUID
    kind: CallbackKind


class RecordCallbackDelivered(DREventCommand, frozen=True, kw_only=True):
    dr_event_id: UUID
    callback_id: UUID
    kind: CallbackKind
    attempts: int
    status_code: int


class RecordCallbackUndeliverable(DREventCommand, frozen=True, kw_only=True):
    dr_event_id: UUID
    callback_id: UUID
    kind: CallbackKind
    attempts: int
    reason: str
