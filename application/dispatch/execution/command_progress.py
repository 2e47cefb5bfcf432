"""The state machine of one BMS command, up to its outcome: never twice, never guessed, never too late.

It is pure: it makes no call and reads no clock. `executor` makes the calls and reports what came of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self
from uuid import uuid5

import msgspec
from msgspec.structs import replace

from application.commands.dispatch_batch import BmsSuccess
from application.dispatch.execution.translation import connection_of, from_bms, zone_command
from application.dispatch.time_limits import TIME_LIMITS
from application.ports.dispatch.building_control import (
    BmsBusy,
    BmsConnection,
    BmsError,
    CommandReceipt,
    ZoneCommand,
)
from application.ports.dispatch.requested_work import BmsWork
from application.ports.operations.dead_letters import DeadLetter
from domain.dispatch import BmsCommand, CommandRecord, DispatchState

Step = Literal["query", "call", "give_up"]
"""`query`: ask the BMS for the status of the command. `call`: send it."""


@dataclass(kw_only=True)
class CommandProgress:
    """The progress of a command that has no recorded outcome, in one delivery of its work."""

    work: BmsWork
    dispatch: DispatchState
    command: BmsCommand
    maybe_done: bool
    """The BMS may have executed it, so its status is queried before it is sent again."""
    was_sent: bool
    """Some attempt may have reached the BMS."""
    is_attempted: bool
    """Its next attempt is recorded already."""
    tries: int = 0
    """Those that failed."""
    last_error: str = "not tried"
    is_inexpressible: bool = False
    busy_wait_s: float = 0.0
    """Clock seconds that the BMS asked for."""
    called_until: datetime | None = None
    """Until then a call of a process that died may still arrive, at a BMS that would execute the command again."""

    @classmethod
    def of(
        cls,
        work: BmsWork,
        dispatch: DispatchState,
        record: CommandRecord,
        *,
        now: datetime,
        is_attempted: bool,
        may_be_lost: bool = False,
    ) -> Self:
        """`record` and `dispatch` as they were before the attempt of this delivery was recorded. `may_be_lost`: a
        restore of the database may have lost the record of an earlier one."""
        # After an earlier attempt a worker may have called and died.
        was_attempted = record.attempts > 0 or may_be_lost
        return cls(
            work=work,
            dispatch=dispatch,
            command=record.command,
            maybe_done=was_attempted,
            was_sent=was_attempted,
            is_attempted=is_attempted,
            called_until=now + timedelta(seconds=TIME_LIMITS.call_s)
            if was_attempted and dispatch.bms.profile != "two_phase"
            else None,
        )

    def next_step(self, now: datetime) -> Step:
        """After the deadline the status may be queried, but the command is not sent."""
        if self.is_inexpressible or self.tries >= TIME_LIMITS.max_tries:
            return "give_up"
        if self.maybe_done:
            return "query"
        return "give_up" if self.is_late(now) else "call"

    def is_late(self, now: datetime) -> bool:
        return self.command.not_after is not None and now >= self.command.not_after

    def note_unknown(self, asked_at: datetime) -> float:
        """The BMS says that it has not executed the command. Returns the clock seconds before it is asked again,
        because an earlier call may still arrive; 0: the command can be sent."""
        left = timedelta() if self.called_until is None else self.called_until - asked_at
        self.maybe_done = left > timedelta()
        return max(0.0, left.total_seconds())

    def note_sent(self) -> None:
        """The command was sent, and no outcome came back. Only a connection that was never made proves that it was not
        sent."""
        self.maybe_done = self.was_sent = True

    def note_failure(self, error: BmsError) -> None:
        """A query or call ended without an outcome."""
        self.tries += 1
        self.last_error = str(error)
        self.busy_wait_s = error.wait_s if isinstance(error, BmsBusy) else 0.0

    def note_inexpressible(self, error: ValueError) -> None:
        """The protocol of the BMS cannot express the command: it was not sent, and never will be."""
        self.is_inexpressible = True
        self.last_error = f"it cannot be expressed for the BMS: {error}"

    def least_pause_s(self, now: datetime) -> float | None:
        """Clock seconds before the next step; None if the command is given up at once, since its deadline is over.

        The wait that the BMS asked for is limited by the deadline and by TIME_LIMITS, so that a cancellation can get
        through.
        """
        if self.is_late(now) and not self.maybe_done:
            return None
        wait_s = min(self.busy_wait_s, TIME_LIMITS.longest_busy_wait_s)
        if self.command.not_after is None:
            return wait_s
        return min(wait_s, (self.command.not_after - now).total_seconds())

    def failure_reason(self, now: datetime) -> str:
        """Why it is given up."""
        if self.is_late(now) and not (self.maybe_done or self.is_inexpressible):
            return f"not done by {self.command.not_after}; last: {self.last_error}"
        return self.last_error

    @property
    def subject(self) -> dict[str, Any]:
        """The fields that identify the command of an outcome."""
        return {
            "dr_event_id": self.work.dr_event_id,
            "facility_id": self.work.facility_id,
            "command_id": self.command.command_id,
        }

    def success(self, receipt: CommandReceipt, learned_by: Literal["answer", "status_query"]) -> BmsSuccess:
        return BmsSuccess(
            command_id=self.command.command_id,
            executed_at=receipt.executed_at,
            setpoint=from_bms(receipt.setpoint),
            learned_by=learned_by,
        )

    @property
    def connection(self) -> BmsConnection:
        return connection_of(self.dispatch)

    @property
    def request(self) -> ZoneCommand:
        return zone_command(self.work, self.command, self.dispatch.previous.get(self.command.zone_id))

    @property
    def alert_subject(self) -> str:
        return f"{self.work.facility_id}/{self.command.zone_id}"

    @property
    def log_fields(self) -> dict[str, str]:
        return {
            "facility": self.work.facility_id,
            "zone": self.command.zone_id,
            "phase": self.command.phase,
        }

    @property
    def in_flight(self) -> str:
        """The text that failpoints record."""
        return f"{self.command.phase} {self.alert_subject} {self.command.command_id}"

    def dead_letter(self, now: datetime) -> DeadLetter:
        return DeadLetter(
            # A different id for each issue: a command that is given up again after a replay is a new dead letter.
            dead_letter_id=uuid5(self.command.command_id, f"dead-letter:{self.work.causation_id}"),
            queue="bms_command",
            subject=self.work.facility_id,
            reason=self.failure_reason(now),
            body=msgspec.json.encode(replace(self.work, command_id=self.command.command_id, more=())),
            parked_at=now,
        )
