"""Commands that report several BMS commands of one dispatch at once, in one save."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from application.commands.dispatch import DispatchCommand
from domain.dispatch import DispatchState, Setpoint


class AttemptBmsCommands(DispatchCommand, frozen=True, kw_only=True):
    """Record that calls are about to be made, one after the other. Applies to commands that are open in that
    issue, were never attempted and are not too late. Reply: RecordedAttempts."""

    command_ids: tuple[UUID, ...]
    issue: int


class RecordedAttempts(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded attempts, and the state before them."""

    before: DispatchState
    command_ids: tuple[UUID, ...]


class BmsSuccess(msgspec.Struct, frozen=True, kw_only=True):
    """A command that the BMS executed, and how its outcome was learned."""

    command_id: UUID
    executed_at: datetime
    setpoint: Setpoint
    learned_by: Literal["answer", "status_query"]


class RecordBmsSuccesses(DispatchCommand, frozen=True, kw_only=True):
    """The successes in the order in which they were learned."""

    successes: tuple[BmsSuccess, ...]
