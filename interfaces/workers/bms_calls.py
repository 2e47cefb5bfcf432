"""Carrying out a recorded BMS command: attempt recorded, call made, outcome recorded; never a guess."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import uniform
from typing import Any, Literal
from uuid import uuid5

import msgspec
import structlog

from application.command_bus import CommandBus
from application.commands.dispatch import (
    AttemptBmsCommand,
    DispatchCommand,
    RecordBmsGivenUp,
    RecordBmsRefusal,
    RecordBmsSuccess,
    RecordZoneStates,
    SeenZone,
)
from application.deciding import CommandContext
from application.ports.alerts import AlertRegistry
from application.ports.building_control import (
    BmsConnection,
    BmsError,
    BmsRefused,
    BmsUnreachable,
    BuildingControl,
    CommandReceipt,
    ZoneCommand,
)
from application.ports.building_control import Setpoint as BmsSetpoint
from application.ports.clock import Clock
from application.ports.dead_letters import DeadLetter, DeadLetters
from application.ports.event_store import EventStore
from application.ports.work_queue import BmsWork
from domain.dispatch import BmsCommand, CommandRecord, Dispatch, DispatchState, Setpoint
from domain.identifiers import dispatch_id
from interfaces.failpoints import Failpoint

MAX_TRIES = 4
"""Calls and status queries of one delivery, before the command is given up."""
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 2.0, 30.0
LearnedBy = Literal["answer", "status_query"]
log = structlog.get_logger("dispatch")


@dataclass(frozen=True)
class BmsCalls:
    """What a dispatch worker does with one piece of work, while it holds the facility's lock."""

    store: EventStore
    bus: CommandBus
    control: BuildingControl
    clock: Clock
    dead_letters: DeadLetters
    alerts: AlertRegistry
    reached: Failpoint

    async def carry_out(self, work: BmsWork) -> None:
        """Bring the command of `work` to a recorded outcome; one that has an outcome is left alone."""
        dispatch = await self._dispatch(work)
        record = dispatch.commands.get(str(work.command_id))
        if record is None:
            log.warning("no such command in the log", facility=work.facility_id, command=str(work.command_id))
            return
        if record.state != "requested":
            return
        await _Execution(self, work, dispatch, record).run()

    async def verify(self, work: BmsWork) -> None:
        """Ask the BMS for the state of each zone after the commit, and record it."""
        dispatch = await self._dispatch(work)
        if dispatch.status != "committed":
            return
        connection = connection_of(dispatch)
        for number in range(MAX_TRIES):
            try:
                seen = [
                    await self.control.zone_state(connection, zone_id) for zone_id in sorted(dispatch.zones)
                ]
            except BmsError as error:
                log.warning("zone states not known", facility=work.facility_id, why=str(error))
                await self.pause(number)
                continue
            zones = tuple(
                SeenZone(zone_id=s.zone_id, setpoint=from_bms(s.setpoint), curtailed=s.curtailed)
                for s in seen
            )
            await self.record(
                work,
                RecordZoneStates(dr_event_id=work.dr_event_id, facility_id=work.facility_id, zones=zones),
            )
            for zone in zones:
                if not zone.curtailed:
                    detail = f"zone {zone.zone_id} is not curtailed though its commit succeeded"
                    await self.alert("bms_drift", work.facility_id, detail)
            return

    async def record(self, work: BmsWork, command: DispatchCommand) -> object:
        context = CommandContext(
            correlation_id=work.correlation_id,
            causation_id=work.command_id or work.causation_id,
            actor="worker:dispatch",
            tenant=work.tenant,
            trace_id=work.trace_id,
        )
        return await asyncio.to_thread(self.bus.handle, command, context)

    async def pause(self, number: int) -> None:
        """Back off with jitter before try `number` + 1."""
        backoff_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**number)
        await asyncio.sleep(self.clock.wall_seconds(uniform(0.5, 1.0) * backoff_s))

    async def alert(self, name: str, subject: str, detail: str) -> None:
        await asyncio.to_thread(self.alerts.raise_alert, name, subject, detail, at=self.clock.now())

    async def _dispatch(self, work: BmsWork) -> DispatchState:
        stream = dispatch_id(work.dr_event_id, work.facility_id)
        dispatch = await asyncio.to_thread(self.store.load, Dispatch, stream)
        return dispatch.state


class _Execution:
    """One command on its way to its outcome."""

    def __init__(
        self, calls: BmsCalls, work: BmsWork, dispatch: DispatchState, record: CommandRecord
    ) -> None:
        self._calls = calls
        self._work = work
        self._command = record.command
        self._connection = connection_of(dispatch)
        # An attempt was recorded before: somebody may have called and died. Ask before calling again.
        self._maybe_done = record.attempts > 0
        self._was_sent = self._maybe_done
        self._last_error = "not tried"

    async def run(self) -> None:
        for number in range(MAX_TRIES):
            if await self._try():
                return
            if self._too_late() and not self._maybe_done:
                break
            await self._calls.pause(number)
        await self._give_up()

    def _too_late(self) -> bool:
        return self._command.not_after is not None and self._calls.clock.now() >= self._command.not_after

    async def _try(self) -> bool:
        """One try; True once an outcome is recorded. After the deadline the BMS may be asked, not called."""
        try:
            if self._maybe_done and await self._already_done():
                return True
            if self._too_late():
                self._last_error = f"not done by {self._command.not_after}; last: {self._last_error}"
                return False
            return await self._call()
        except BmsRefused as refusal:
            await self._record(RecordBmsRefusal(**self._subject(), code=refusal.code, reason=refusal.reason))
            return True
        except BmsError as error:
            self._last_error = str(error)
            log.warning("bms call failed", **self._named(), why=self._last_error)
            return False

    async def _already_done(self) -> bool:
        status = await self._calls.control.command_status(self._connection, self._command.command_id)
        if status.receipt is None:
            self._maybe_done = False
            return False
        await self._succeeded(status.receipt, learned_by="status_query")
        return True

    async def _call(self) -> bool:
        await self._record(AttemptBmsCommand(**self._subject()))
        self._calls.reached("dispatch.before_call", self._in_flight)
        # From here on a BMS may have done it; only a connection never made says that it has not.
        before = self._maybe_done, self._was_sent
        self._maybe_done = self._was_sent = True
        try:
            receipt = await self._calls.control.execute(
                self._connection, zone_command(self._work, self._command)
            )
        except BmsUnreachable:
            self._maybe_done, self._was_sent = before
            raise
        except BmsError:
            # Late, lost or refused: the call is over all the same, and its outcome is not yet recorded.
            self._calls.reached("dispatch.after_call", self._in_flight)
            raise
        self._calls.reached("dispatch.after_call", self._in_flight)
        await self._succeeded(receipt, learned_by="answer")
        self._calls.reached("dispatch.after_record", self._in_flight)
        return True

    async def _succeeded(self, receipt: CommandReceipt, *, learned_by: LearnedBy) -> None:
        await self._record(
            RecordBmsSuccess(
                **self._subject(),
                executed_at=receipt.executed_at,
                setpoint=from_bms(receipt.setpoint),
                learned_by=learned_by,
            )
        )
        if self._command.phase == "restore":
            alerts, now = self._calls.alerts, self._calls.clock.now()
            await asyncio.to_thread(alerts.clear, "restore_failing", self._alert_subject, at=now)

    async def _give_up(self) -> None:
        """Record that no outcome could be learned, park the command, tell the operators."""
        letter = DeadLetter(
            # One per issue: what is given up again after a replay is a new dead letter.
            dead_letter_id=uuid5(self._command.command_id, f"dead-letter:{self._work.causation_id}"),
            queue="bms_command",
            subject=self._work.facility_id,
            reason=self._last_error,
            body=msgspec.json.encode(self._work),
            parked_at=self._calls.clock.now(),
        )
        await asyncio.to_thread(self._calls.dead_letters.park, letter)
        name = "restore_failing" if self._command.phase == "restore" else "command_dead_lettered"
        detail = f"{self._command.phase} of {self._command.zone_id}: {self._last_error}"
        await self._calls.alert(name, self._alert_subject, detail)
        await self._record(
            RecordBmsGivenUp(**self._subject(), was_sent=self._was_sent, reason=self._last_error)
        )

    async def _record(self, command: DispatchCommand) -> None:
        await self._calls.record(self._work, command)

    def _subject(self) -> dict[str, Any]:
        """The fields that say which command an outcome is of."""
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


def connection_of(dispatch: DispatchState) -> BmsConnection:
    return BmsConnection(
        facility_id=dispatch.facility_id,
        address=dispatch.bms.address,
        profile=dispatch.bms.profile,
        credentials_ref=dispatch.bms.credentials_ref,
    )


def zone_command(work: BmsWork, command: BmsCommand) -> ZoneCommand:
    """The recorded intent as the BMS is asked."""
    restore_to = command.restore_to
    return ZoneCommand(
        command_id=command.command_id,
        dr_event_id=work.dr_event_id,
        facility_id=work.facility_id,
        zone_id=command.zone_id,
        phase=command.phase,
        plan_revision=command.plan_revision,
        round=command.round,
        strategy=command.strategy,
        magnitude=command.magnitude,
        restore_to=None if restore_to is None else BmsSetpoint(value=restore_to.value, unit=restore_to.unit),
        expires_at=command.expires_at,
    )


def from_bms(setpoint: BmsSetpoint) -> Setpoint:
    return Setpoint(value=setpoint.value, unit=setpoint.unit)
