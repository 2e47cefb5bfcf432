"""Commands on DR events, and what the door answers."""

from typing import Literal
from uuid import UUID

import msgspec

from domain.dr_event import CallbackKind, Notice, Reason


class JudgeNotification(msgspec.Struct, frozen=True, kw_only=True):
    """Judge a utility's notification: it is accepted, or rejected with every reason. Reply: Judgement."""

    utility_id: str
    utility_event_id: str
    notice: Notice


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The answer at the door."""

    dr_event_id: UUID
    status: Literal["accepted", "rejected", "already_known"]
    """`already_known`: that DR event was accepted before, and this notification changes nothing."""
    reasons: tuple[Reason, ...] = ()
    capacity_kw: float = 0.0
    capacity_source: str = ""
    shortfall_kw: float = 0.0


class PlanDREvent(msgspec.Struct, frozen=True, kw_only=True):
    """Make the plan: allocate the target over the facilities by their forecasts."""

    dr_event_id: UUID


class StartPreparation(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID


class StartDREvent(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID


class EndDREvent(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID


class CompleteDREvent(msgspec.Struct, frozen=True, kw_only=True):
    """Close the DR event, if every dispatch is final."""

    dr_event_id: UUID


class MeasureDREvent(msgspec.Struct, frozen=True, kw_only=True):
    """Add up what was delivered, if every dispatch that ran is measured."""

    dr_event_id: UUID


class CancelDREvent(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel before the start. Reply: Cancellation."""

    dr_event_id: UUID
    reason: str


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID
    status: str


class RequestCallback(msgspec.Struct, frozen=True, kw_only=True):
    """Record that the utility is to be told of the DR event's state."""

    dr_event_id: UUID
    kind: CallbackKind


class RecordCallbackDelivered(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID
    callback_id: UUID
    kind: CallbackKind
    attempts: int
    status_code: int


class RecordCallbackUndeliverable(msgspec.Struct, frozen=True, kw_only=True):
    dr_event_id: UUID
    callback_id: UUID
    kind: CallbackKind
    attempts: int
    reason: str
