"""Execution of recorded BMS commands: record the attempt, make the call, record the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import uniform
from typing import Any

import msgspec
import structlog

from application.command_bus.batching import CommandBatcher
from application.command_bus.decision_context import CommandContext
from application.commands.dispatch import (
    AttemptBmsCommand,
    DispatchCommand,
    ReconcileDispatch,
    RecordBmsGivenUp,
    RecordBmsRefusal,
    RecordZoneStates,
    ZoneObservation,
)
from application.commands.dispatch_batch import AttemptBmsCommands, BmsSuccess, RecordedAttempts
from application.dispatch.execution.bms_work_parking import BmsWorkParking
from application.dispatch.execution.command_progress import CommandProgress
from application.dispatch.execution.curtailed import CurtailedDispatch, no_dispatch
from application.dispatch.execution.outcome_batcher import OutcomeBatcher
from application.dispatch.execution.reported_failures import has_open_dead_letter
from application.dispatch.execution.restored_buildings import (
    NEVER_RESTORED,
    UNEXPLAINED,
    RestoredLog,
    inspection_of,
    state_unexplained,
    unexplained,
)
from application.dispatch.execution.translation import connection_of, from_bms
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnreadableDomainEvent
from application.ports.clock import Clock
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    BmsError,
    BmsRefused,
    BmsUnreachable,
    BuildingControl,
    ZoneState,
)
from application.ports.dispatch.open_work import OpenWork
from application.ports.dispatch.requested_work import BmsWork
from application.ports.event_store.event_store import EventStore
from application.ports.failpoints import Failpoint
from application.ports.operations.alerts import AlertRegistry, every_open_alert
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from domain.dispatch import CURTAILED, Dispatch, DispatchState
from domain.identifiers import dispatch_id

OUTCOME_WINDOW_S = 0.5
"""Clock seconds that a learned outcome waits for those of the building's other zones: one save instead of three
(ADR 0092 has the figures)."""
DRIFT = "bms_drift"
log = structlog.get_logger("dispatch")


@dataclass(frozen=True)
class DispatchExecutor:
    """Executes one piece of work in a dispatch worker, while the worker holds the facility's lock."""

    store: EventStore
    commands: CommandBatcher
    control: BuildingControl
    clock: Clock
    dead_letters: DeadLetters
    alerts: AlertRegistry
    reached: Failpoint
    confirm_clock: Callable[[], None] = lambda: None
    """Compares the clock with the database's at once. Raises ClockSkewed if it is wrong."""
    restored: RestoredLog = NEVER_RESTORED
    curtailed: Callable[[str], Iterable[CurtailedDispatch]] = no_dispatch
    """The dispatches that curtail a building now, as the read model knows them."""

    async def do(self, work: BmsWork) -> None:
        """Do the task of `work`."""
        match work.task:
            case "command":
                await self.carry_out(work)
            case "verify":
                await self.verify(work)
            case "reconcile":
                await self.check(work)

    async def carry_out(self, work: BmsWork) -> None:
        """Bring the commands of `work` to a recorded outcome, in their order. Commands with an outcome are
        skipped."""
        outcomes = OutcomeBatcher(
            work,
            lambda command: self.record(work, command),
            self.reached,
            window_s=self.clock.wall_seconds(OUTCOME_WINDOW_S),
        )
        commands = await self._attempted_commands(work)
        try:
            for progress in commands:
                await self._bring_to_outcome(progress, outcomes)
        finally:
            await outcomes.recorded()

    async def _attempted_commands(self, work: BmsWork) -> list[CommandProgress]:
        """The commands that are open in the issue of `work`. The first attempts of those that may be called now are
        recorded in one save."""
        ids = tuple(command_id for command_id in (work.command_id, *work.more) if command_id is not None)
        attempt = AttemptBmsCommands(
            dr_event_id=work.dr_event_id, facility_id=work.facility_id, command_ids=ids, issue=work.issue
        )
        now = self.clock.now()
        attempted: RecordedAttempts = await self.record(work, attempt)
        dispatch, wanted = attempted.before, list(map(str, ids))
        unknown = [command_id for command_id in wanted if command_id not in dispatch.commands]
        if unknown:
            log.warning("no such command in the log", facility=work.facility_id, commands=unknown)
        return [
            CommandProgress.of(
                work,
                dispatch,
                record,
                now=now,
                is_attempted=record.command.command_id in attempted.command_ids,
                may_be_lost=self.restored.may_have_lost(dispatch),
            )
            for command_id in wanted
            if (record := dispatch.commands.get(command_id)) is not None and record.is_open_in(work.issue)
        ]

    async def _bring_to_outcome(self, progress: CommandProgress, outcomes: OutcomeBatcher) -> None:
        while (step := progress.next_step(self.clock.now())) != "give_up":
            try:
                success = await (self._query(progress) if step == "query" else self._call(progress))
            except BmsRefused as refusal:
                await self._refused(progress, refusal)
                return
            except UnreadableDomainEvent:
                raise  # A ValueError too, but about the record: it is no fault of the BMS.
            except ValueError as error:
                progress.note_inexpressible(error)
                log.exception("bms call impossible", **progress.log_fields)
            except BmsError as error:
                progress.note_failure(error)
                log.warning("bms call failed", **progress.log_fields, why=progress.last_error)
                least_s = progress.least_pause_s(self.clock.now())
                if least_s is not None:
                    await self.pause(progress.tries - 1, least_s)
            else:
                if success is not None:
                    await self._succeeded(progress, success, outcomes)
                    return
        await self._give_up(progress)

    async def _query(self, progress: CommandProgress) -> BmsSuccess | None:
        """None if the BMS says that it has not executed the command."""
        asked_at = self.clock.now()
        try:
            status = await self.control.command_status(progress.connection, progress.request)
        except BmsRefused as refusal:
            # The status query was refused, not the command: the outcome of the command stays unknown.
            raise BmsAnswerInvalid(f"its status query was refused: {refusal.reason}") from refusal
        if status.receipt is None:
            await asyncio.sleep(self.clock.wall_seconds(progress.note_unknown(asked_at)))
            return None
        return progress.success(status.receipt, "status_query")

    async def _call(self, progress: CommandProgress) -> BmsSuccess:
        if not progress.is_attempted:
            await self.record(progress.work, AttemptBmsCommand(**progress.subject))
        progress.is_attempted = False
        self.reached("dispatch.before_call", progress.in_flight)
        try:
            receipt = await self.control.execute(progress.connection, progress.request)
        except BmsUnreachable:
            raise
        except BmsError:
            progress.note_sent()
            self.reached("dispatch.after_call", progress.in_flight)
            raise
        self.reached("dispatch.after_call", progress.in_flight)
        return progress.success(receipt, "answer")

    async def _succeeded(
        self, progress: CommandProgress, success: BmsSuccess, outcomes: OutcomeBatcher
    ) -> None:
        outcomes.add(success, progress.in_flight)

    async def _refused(self, progress: CommandProgress, refusal: BmsRefused) -> None:
        outcome = RecordBmsRefusal(**progress.subject, code=refusal.code, reason=refusal.reason)
        await self.record(progress.work, outcome)

    async def _give_up(self, progress: CommandProgress) -> None:
        """Park the command, and record that no outcome could be determined."""
        letter = progress.dead_letter(self.clock.now())
        await asyncio.to_thread(self._park_unless_open, progress, letter)
        outcome = RecordBmsGivenUp(**progress.subject, was_sent=progress.was_sent, reason=letter.reason)
        await self.record(progress.work, outcome)

    def _park_unless_open(self, progress: CommandProgress, letter: DeadLetter) -> None:
        """Park the dead letter, unless a failing restore has an open one already: restores are retried
        without end. Of a command that is too late only by a wrong clock none is parked."""
        if progress.is_late(self.clock.now()):
            self.confirm_clock()
        command, dispatch = progress.command, progress.dispatch
        if command.phase != "restore" or not has_open_dead_letter(
            self.dead_letters, dispatch, command, now=letter.parked_at
        ):
            self.dead_letters.park(letter)

    async def verify(self, work: BmsWork) -> None:
        """Query the state of each zone after the commit, and record it."""
        dispatch = await self._dispatch(work)
        if dispatch.status != "committed":
            return
        zones = await self._seen(work, dispatch, TIME_LIMITS.max_tries)
        if zones is None:
            return
        await self.record(
            work, RecordZoneStates(dr_event_id=work.dr_event_id, facility_id=work.facility_id, zones=zones)
        )
        await self._state_drift(
            work, [one.zone_id for one in zones if one.zone_id in dispatch.curtailed_at and not one.curtailed]
        )

    async def _state_drift(self, work: BmsWork, zone_ids: Sequence[str]) -> None:
        """State what the building does at this look; the next look, by whichever process, states it anew."""
        stated = {work.facility_id: f"not as commanded: {', '.join(zone_ids)}"} if zone_ids else {}
        state = partial(self.alerts.state, observer=f"poll of {work.facility_id}", at=self.clock.now())
        await asyncio.to_thread(state, DRIFT, stated)

    async def check(self, work: BmsWork) -> None:
        """Reconcile the building with the dispatches that curtail it. One that none curtails is inspected, if the
        database was restored."""
        curtailed = list(await asyncio.to_thread(self.curtailed, work.facility_id))
        for dispatch in curtailed:
            await self.reconcile(
                msgspec.structs.replace(
                    work,
                    dr_event_id=dispatch.dr_event_id,
                    correlation_id=dispatch.correlation_id,
                    tenant=dispatch.tenant,
                    trace_id=dispatch.trace_id,
                )
            )
        if not curtailed and await asyncio.to_thread(self._may_be_unexplained, work.facility_id):
            await self._inspect(work)

    def _may_be_unexplained(self, facility_id: str) -> bool:
        return self.restored.at is not None or any(
            alert.name == UNEXPLAINED and alert.subject == facility_id
            for alert in every_open_alert(self.alerts)
        )

    async def reconcile(self, work: BmsWork) -> None:
        """Compare the reported state of a curtailed building with its commands. Drift is recorded, alerted
        and corrected."""
        dispatch = await self._dispatch(work)
        if dispatch.status not in CURTAILED:
            return
        # One try only: a building that does not answer is queried again in the next round.
        zones = await self._seen(work, dispatch, tries=1)
        if zones is None:
            return
        drifted = await self.record(
            work, ReconcileDispatch(dr_event_id=work.dr_event_id, facility_id=work.facility_id, zones=zones)
        )
        await self._state_drift(work, sorted(map(str, drifted)))

    async def _seen(
        self, work: BmsWork, dispatch: DispatchState, tries: int
    ) -> tuple[ZoneObservation, ...] | None:
        """The states of the zones as the BMS reports them; None if it does not answer in `tries` tries."""
        states = await self._states(connection_of(dispatch), sorted(dispatch.zones), tries)
        if states is None:
            return None
        return tuple(
            ZoneObservation(zone_id=s.zone_id, setpoint=from_bms(s.setpoint), curtailed=s.curtailed)
            for s in states
        )

    async def _states(
        self, connection: BmsConnection, zone_ids: Sequence[str], tries: int
    ) -> list[ZoneState] | None:
        for number in range(tries):
            try:
                return [await self.control.zone_state(connection, zone_id) for zone_id in zone_ids]
            except BmsError as error:
                log.warning("zone states unavailable", facility=connection.facility_id, why=str(error))
                if number + 1 < tries:
                    await self.pause(number)
        return None

    async def _inspect(self, work: BmsWork) -> None:
        """After a restore of the database: state whether the building does what the log knows nothing of."""
        wanted = await asyncio.to_thread(inspection_of, self.store, work.facility_id)
        found = None
        if wanted is not None:
            found = unexplained(await self._states(wanted.connection, wanted.zone_ids, TIME_LIMITS.max_tries))
        state = partial(state_unexplained, self.alerts, work.facility_id, found, at=self.clock.now())
        await asyncio.to_thread(state)

    async def record(self, work: BmsWork, command: DispatchCommand) -> Any:
        context = CommandContext(
            correlation_id=work.correlation_id,
            causation_id=work.command_id or work.causation_id,
            actor="worker:dispatch",
            tenant=work.tenant,
            trace_id=work.trace_id,
        )
        return await self.commands.handle(command, context)

    async def park(self, work: BmsWork, reason: str) -> None:
        """Park work that fails with an error of ours, whatever it is. It may be repeated."""
        await self._parking.park(work, reason)

    async def park_row(self, row: OpenWork, reason: str) -> None:
        """Park a row that asks for no BMS work. It may be repeated."""
        await self._parking.park_row(row, reason)

    @property
    def _parking(self) -> BmsWorkParking:
        return BmsWorkParking(self.store, self.dead_letters, self.commands, self.clock)

    async def pause(self, number: int, least_s: float = 0.0) -> None:
        """Back off with jitter before try `number` + 1, for at least `least_s` clock seconds."""
        longest_s, first_s = TIME_LIMITS.longest_backoff_s, TIME_LIMITS.first_backoff_s
        backoff_s = uniform(0.5, 1.0) * min(longest_s, first_s * 2**number)
        await asyncio.sleep(self.clock.wall_seconds(max(backoff_s, least_s)))

    async def _dispatch(self, work: BmsWork) -> DispatchState:
        stream = dispatch_id(work.dr_event_id, work.facility_id)
        return (await asyncio.to_thread(self.store.load, Dispatch, stream)).state
