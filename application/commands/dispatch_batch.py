"""What a worker reports of several BMS commands of one dispatch at once; one save for all of them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from application.commands.dispatch import DispatchCommand
from domain.dispatch import DispatchState, Setpoint


class AttemptBmsCommands(DispatchCommand, frozen=True, kw_only=True):
    """Record that calls are about to be made, one after the other: of those commands that have no outcome, were never
    attempted and are not too late. Reply: Attempted."""

    command_ids: tuple[UUID, ...]


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose attempt was recorded, and what was known before."""

    before: DispatchState
    command_ids: tuple[UUID, ...]


class BmsSuccess(msgspec.Struct, frozen=True, kw_only=True):
    """One command that the BMS carried out, and how we know."""

    command_id: UUID
    executed_at: datetime
    setpoint: Setpoint
    learned_by: Literal["answer", "status_query"]


class RecordBmsSuccesses(DispatchCommand, frozen=True, kw_only=True):
    """In the order in which they were learned."""

    successes: tuple[BmsSuccess, ...]
