"""The execution of one BMS command up to its recorded outcome: never twice, never guessed, never too late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Protocol
from uuid import UUID, uuid5

import msgspec
import structlog
from msgspec.structs import replace

from application.commands.dispatch import (
    AttemptBmsCommand,
    DispatchCommand,
    RecordBmsGivenUp,
    RecordBmsRefusal,
)
from application.commands.dispatch_batch import BmsSuccess
from application.dispatch.execution.outcome_batcher import OutcomeBatcher
from application.dispatch.execution.reported_failures import has_open_dead_letter
from application.dispatch.execution.translation import connection_of, from_bms, zone_command
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnreadableDomainEvent
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsBusy,
    BmsError,
    BmsRefused,
    BmsUnreachable,
    BuildingControl,
    CommandReceipt,
)
from application.ports.dispatch.work_queue import BmsWork
from application.ports.failpoints import Failpoint
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from domain.dispatch import CommandRecord, DispatchState

LearnedBy = Literal["answer", "status_query"]
log = structlog.get_logger("dispatch")


class ExecutionContext(Protocol):
    """The dependencies of an execution."""

    @property
    def control(self) -> BuildingControl: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def dead_letters(self) -> DeadLetters: ...
    @property
    def alerts(self) -> AlertRegistry: ...
    @property
    def reached(self) -> Failpoint: ...
    @property
    def confirm_clock(self) -> Callable[[], None]: ...
    async def record(self, work: BmsWork, command: DispatchCommand) -> Any: ...
    async def pause(self, number: int, least_s: float = 0.0) -> None: ...
    async def alert(self, name: str, subject: str, detail: str) -> None: ...


class CommandExecution:
    """The execution of one command."""

    def __init__(
        self,
        calls: ExecutionContext,
        work: BmsWork,
        dispatch: DispatchState,
        record: CommandRecord,
        successes: OutcomeBatcher,
    ) -> None:
        self._calls = calls
        self._work = work
        self._dispatch = dispatch
        self._command = record.command
        self._zone_command = zone_command(work, record.command, dispatch.previous.get(record.command.zone_id))
        self._connection = connection_of(dispatch)
        # An attempt was recorded before, so a worker may have called and died. Query the status before
        # calling again.
        self._maybe_done = record.attempts > 0
        self._was_sent = self._maybe_done
        self._last_error = "not tried"
        self._is_unspeakable = False
        self._wait_s = 0.0
        self._successes = successes
        self.is_attempted = False
        """Its next attempt is recorded already."""

    @property
    def command_id(self) -> UUID:
        return self._command.command_id

    async def run(self) -> None:
        for number in range(TIME_LIMITS.max_tries):
            if await self._try():
                return
            if self._is_unspeakable:
                break
            if self._too_late() and not self._maybe_done:
                break
            await self._calls.pause(number, self._requested_wait_s())
        await self._give_up()

    def _requested_wait_s(self) -> float:
        """The pause that the BMS asked for, limited by the deadline and by TIME_LIMITS, so that a
        cancellation can get through."""
        wait_s, self._wait_s = min(self._wait_s, TIME_LIMITS.longest_busy_wait_s), 0.0
        if self._command.not_after is None:
            return wait_s
        return min(wait_s, (self._command.not_after - self._calls.clock.now()).total_seconds())

    def _too_late(self) -> bool:
        return self._command.not_after is not None and self._calls.clock.now() >= self._command.not_after

    async def _try(self) -> bool:
        """One try; True once an outcome is recorded. After the deadline the status may be queried, but no
        command is sent."""
        try:
            if self._maybe_done and await self._already_done():
                return True
            if self._too_late():
                self._last_error = f"not done by {self._command.not_after}; last: {self._last_error}"
                return False
            return await self._call()
        except BmsRefused as refusal:
            if self._command.phase == "restore":
                detail = f"{self._command.zone_id} refused: {refusal.reason}"
                await self._calls.alert("restore_failing", self._alert_subject, detail)
            await self._record(RecordBmsRefusal(**self._subject(), code=refusal.code, reason=refusal.reason))
            return True
        except UnreadableDomainEvent:
            raise  # A ValueError too, but about the record: it is no fault of the BMS.
        except ValueError as error:
            # The command cannot be expressed in the BMS's protocol: it was not sent, and never will be.
            self._last_error, self._is_unspeakable = f"it cannot be expressed for the BMS: {error}", True
            log.exception("bms call impossible", **self._named())
            return False
        except BmsError as error:
            self._last_error = str(error)
            self._wait_s = error.wait_s if isinstance(error, BmsBusy) else 0.0
            log.warning("bms call failed", **self._named(), why=self._last_error)
            return False

    async def _already_done(self) -> bool:
        try:
            status = await self._calls.control.command_status(self._connection, self._zone_command)
        except BmsRefused as refusal:
            # The status query was refused, not the command: the outcome of the command stays unknown.
            raise BmsAnswerInvalid(f"its status query was refused: {refusal.reason}") from refusal
        if status.receipt is None:
            self._maybe_done = False
            return False
        await self._succeeded(status.receipt, learned_by="status_query")
        return True

    async def _call(self) -> bool:
        if not self.is_attempted:
            await self._record(AttemptBmsCommand(**self._subject()))
        self.is_attempted = False
        self._calls.reached("dispatch.before_call", self._in_flight)
        # From here on the BMS may have executed it. Only a connection that was never made proves that it has
        # not.
        before = self._maybe_done, self._was_sent
        self._maybe_done = self._was_sent = True
        try:
            receipt = await self._calls.control.execute(self._connection, self._zone_command)
        except (BmsUnreachable, ValueError):
            self._maybe_done, self._was_sent = before
            raise
        except BmsError:
            # Late, lost or refused: the call is over, and its outcome is not recorded yet.
            self._calls.reached("dispatch.after_call", self._in_flight)
            raise
        self._calls.reached("dispatch.after_call", self._in_flight)
        await self._succeeded(receipt, learned_by="answer")
        return True

    async def _succeeded(self, receipt: CommandReceipt, *, learned_by: LearnedBy) -> None:
        success = BmsSuccess(
            command_id=self._command.command_id,
            executed_at=receipt.executed_at,
            setpoint=from_bms(receipt.setpoint),
            learned_by=learned_by,
        )
        self._successes.add(success, self._in_flight)
        if self._command.phase == "restore":
            alerts, now = self._calls.alerts, self._calls.clock.now()
            await asyncio.to_thread(alerts.clear, "restore_failing", self._alert_subject, at=now)

    async def _give_up(self) -> None:
        """Record that no outcome could be determined, park the command, and raise the alert."""
        letter = DeadLetter(
            # A different id for each issue: a command that is given up again after a replay is a new dead
            # letter.
            dead_letter_id=uuid5(self._command.command_id, f"dead-letter:{self._work.causation_id}"),
            queue="bms_command",
            subject=self._work.facility_id,
            reason=self._last_error,
            body=msgspec.json.encode(replace(self._work, command_id=self._command.command_id, more=())),
            parked_at=self._calls.clock.now(),
        )
        await asyncio.to_thread(self._park, letter)
        name = "restore_failing" if self._command.phase == "restore" else "command_dead_lettered"
        detail = f"{self._command.phase} of {self._command.zone_id}: {self._last_error}"
        await self._calls.alert(name, self._alert_subject, detail)
        await self._record(
            RecordBmsGivenUp(**self._subject(), was_sent=self._was_sent, reason=self._last_error)
        )

    def _park(self, letter: DeadLetter) -> None:
        """Park the dead letter, unless a failing restore has an open one already: restores are retried
        without end. Of a command that is too late only by a wrong clock none is parked."""
        if self._too_late():
            self._calls.confirm_clock()
        letters = self._calls.dead_letters
        again = self._command.phase == "restore"
        if not (again and has_open_dead_letter(letters, self._dispatch, self._command, now=letter.parked_at)):
            letters.park(letter)

    async def _record(self, command: DispatchCommand) -> None:
        await self._calls.record(self._work, command)

    def _subject(self) -> dict[str, Any]:
        """The fields that identify the command of an outcome."""
        return {
            "dr_event_id": self._work.dr_event_id,
            "facility_id": self._work.facility_id,
            "command_id": self._command.command_id,
        }

    @property
    def _alert_subject(self) -> str:
        return f"{self._work.facility_id}/{self._command.zone_id}"

    def _named(self) -> dict[str, str]:
        command = self._command
        return {"facility": self._work.facility_id, "zone": command.zone_id, "phase": command.phase}

    @property
    def _in_flight(self) -> str:
        command = self._command
        return f"{command.phase} {self._work.facility_id}/{command.zone_id} {command.command_id}"
