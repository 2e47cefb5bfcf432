"""The work that recorded intents ask for, as a worker reads it from the log."""

from typing import Literal, Self
from uuid import UUID

import msgspec

from domain.dr_event import CallbackKind, DREvent

BmsTask = Literal["command", "verify", "reconcile"]


class BmsWork(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a facility's BMS: execute recorded commands, or report the state of its zones after a
    commit or while the DR event runs."""

    task: BmsTask
    dr_event_id: UUID
    facility_id: str
    command_id: UUID | None
    issue: int = 1
    """The number of the issue of the commands. A command that was issued again since is left to the work of the newer
    issue."""
    more: tuple[UUID, ...] = ()
    """Commands to the same BMS that were requested together with it, to be executed after it in this order."""
    correlation_id: UUID
    causation_id: UUID
    tenant: str | None
    trace_id: str


class CallbackWork(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to a utility, as it was recorded."""

    dr_event_id: UUID
    callback_id: UUID
    kind: CallbackKind
    utility_id: str
    url: str
    """Empty where `address_id` names it."""
    address_id: UUID | None = None
    body: str
    correlation_id: UUID
    causation_id: UUID
    trace_id: str

    @classmethod
    def of(cls, intent: DREvent.CallbackRequested) -> Self:
        """The work of a recorded intent."""
        return cls(
            dr_event_id=intent.originator_id,
            callback_id=intent.callback_id,
            kind=intent.kind,
            utility_id=intent.tenant or "none",
            url=intent.url,
            address_id=intent.address_id,
            body=intent.body,
            correlation_id=intent.correlation_id,
            causation_id=intent.domain_event_id,
            trace_id=intent.trace_id,
        )
