"""LostWorkSweeper: has recorded work issued again that the work queue has lost.

The relay moves its position past an intent once the queue has accepted it. A queue that then loses it, in a power cut,
when a stream is purged or restored, or with its volume, would leave a building curtailed for ever. Work is lost if the
log has no outcome of it, the relay is past it, and the queue does not hold it. If its dead letter is open, it is not
issued again: whoever parked it was stopped before it recorded that the command was given up, so that is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.command_bus.spans import logged
from application.commands.dispatch import DispatchCommand, RecordBmsGivenUp, ReissueLostCommands
from application.dispatch.execution.reported_failures import parked_commands
from application.ports.clock import Clock
from application.ports.dispatch.work_queue import WorkInventory
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from domain.errors import DomainError
from interfaces.workers.loops.periodic import PUT_OFF, PeriodicCheck
from interfaces.workers.relay.relay import READER
from interfaces.workers.schedule.sweep_loop import SweepLoop
from projections.deadlines import DeadlineRow

BMS_COMMANDS = "BMS commands"
LOCK = "lost-work"
SKEW = timedelta(seconds=5)
"""The most by which the clocks of two processes differ. A letter of an earlier issue is at least a minute older."""
REASON = "no outcome was recorded, and the work queue does not hold it"
PARKED = "its dead letter is open, and no outcome was recorded"
log = structlog.get_logger("schedule")


@dataclass
class LostWorkSweeper:
    """One is active per system. It only proposes: the aggregate decides whether something is issued again."""

    overdue: Callable[[datetime], list[DeadlineRow]]
    """The BMS commands without an outcome whose time is up at a moment."""
    inventory: WorkInventory
    positions: ReaderPositions
    bus: CommandBus
    dead_letters: DeadLetters
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return SweepLoop(
            sweep=self.sweep,
            work="commands",
            subject=BMS_COMMANDS,
            lock=LOCK,
            alerts=self.alerts,
            clock=self.clock,
        ).periodic

    async def sweep(self) -> dict[str, int]:
        """Propose to issue lost work again; returns facility -> the number of commands that were."""
        lost, parked = await self._overdue()
        for row in parked:
            with logged(row.trace_id, dr_event=row.dr_event_id, facility=row.facility_id):
                await self._give_up(row)
        reissued: dict[str, int] = {}
        for row in {row.stream_id: row for row in reversed(lost)}.values():
            with logged(row.trace_id, dr_event=row.dr_event_id, facility=row.facility_id):
                number = await self._issue_again(row)
            if number:
                facility_id = str(row.facility_id)
                reissued[facility_id] = reissued.get(facility_id, 0) + number
        return reissued

    async def _overdue(self) -> tuple[list[DeadlineRow], list[DeadlineRow]]:
        """The commands that are lost, and those of them that have an open dead letter."""
        now = self.clock.now()
        overdue = await asyncio.to_thread(self.overdue, now)
        if not overdue:
            return [], []
        # In this order: whatever the relay is past by now is in the queue afterwards, or done, or lost.
        published = await asyncio.to_thread(self.positions.position, READER)
        waiting = await self.inventory.facilities_with_work()
        missing = [row for row in overdue if row.position <= published and row.facility_id not in waiting]
        if not missing:
            return [], []
        letters = await asyncio.to_thread(parked_commands, self.dead_letters, now=now)
        parked = [row for row in missing if _is_parked(row, letters)]
        return [row for row in missing if row not in parked], parked

    async def _issue_again(self, row: DeadlineRow) -> int:
        """How many commands of that dispatch were issued again."""
        if row.facility_id is None:
            return 0
        command = ReissueLostCommands(dr_event_id=row.dr_event_id, facility_id=row.facility_id, reason=REASON)
        reissued: tuple[UUID, ...] = await self._propose(command, row) or ()
        if reissued:
            named: dict[str, Any] = {"facility": row.facility_id, "commands": len(reissued)}
            log.warning("lost work was issued again", **named)
        return len(reissued)

    async def _give_up(self, row: DeadlineRow) -> None:
        if row.facility_id is None or row.intent_id is None:
            return
        command = RecordBmsGivenUp(
            dr_event_id=row.dr_event_id,
            facility_id=row.facility_id,
            command_id=row.intent_id,
            was_sent=True,  # it may have been
            reason=PARKED,
        )
        await self._propose(command, row)

    async def _propose(self, command: DispatchCommand, row: DeadlineRow) -> Any:
        """The answer to the command; None if it is refused or fails."""
        context = CommandContext(
            correlation_id=row.correlation_id,
            causation_id=row.caused_by,
            actor="worker:schedule",
            tenant=row.tenant,
            trace_id=row.trace_id,
        )
        try:
            return await asyncio.to_thread(self.bus.handle, command, context)
        except DomainError as refusal:
            log.info("proposal refused", command=type(command).__name__, why=str(refusal))
        except PUT_OFF:
            raise
        except Exception:
            # For example a newer release has written to its stream. Others are issued again meanwhile.
            log.exception("lost work cannot be issued again", facility=row.facility_id)
        return None


def _is_parked(row: DeadlineRow, letters: Mapping[UUID, datetime]) -> bool:
    """Whether a dead letter was parked of the last issue: the message could not be carried out."""
    parked_at = None if row.intent_id is None else letters.get(row.intent_id)
    return parked_at is not None and (row.issued_at is None or parked_at >= row.issued_at - SKEW)
