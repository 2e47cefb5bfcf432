"""LostWorkSweeper: has recorded work issued again that the work queue has lost.

The relay moves its position past an intent once the queue has accepted it. A queue that then loses it, in a power cut,
when a stream is purged or restored, or with its volume, would leave a building curtailed for ever. Work is lost if the
log has no outcome of it, the relay is past it, the queue does not hold it, and no person has its dead letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.dispatch import ReissueLostCommands
from application.dispatch.execution.reported_failures import parked_commands
from application.operations.alert_switch import AlertSwitch
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.dispatch.work_queue import WorkInventory
from application.ports.event_store.reader_positions import ReaderPositions
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from domain.errors import DomainError
from interfaces.workers.loops.leader_loop import run_as_leader
from interfaces.workers.loops.periodic import run_periodically
from interfaces.workers.relay.relay import READER
from projections.deadlines import DeadlineRow

ALERT = "work_reissued"
BMS_COMMANDS = "BMS commands"
LOCK = "lost-work"
SWEEP_EVERY_S = 10.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 0.5
ALERT_FOR_S = 900.0
"""Clock seconds for which the alert stays open after the last work that was issued again."""
NAMED = 5
"""How many facilities an alert names."""
SKEW = timedelta(seconds=5)
"""The most by which the clocks of two processes differ. A letter of an earlier issue is at least a minute older."""
REASON = "no outcome was recorded, and the work queue does not hold it"
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
    locks: Locks
    _reissued_at: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, LOCK, lambda: self._sweeps(stop), stop=stop)

    async def _sweeps(self, stop: asyncio.Event) -> None:
        switch = AlertSwitch(self.alerts, self.clock, ALERT, BMS_COMMANDS)
        every_s = max(LEAST_WALL_S, self.clock.wall_seconds(SWEEP_EVERY_S))
        round_ = partial(self._round, switch)
        await run_periodically(round_, name="lost work sweeper", every_s=every_s, stop=stop)

    async def _round(self, switch: AlertSwitch) -> None:
        reissued = await self.sweep()
        now = self.clock.now()
        if reissued:
            self._reissued_at = now
        last = self._reissued_at
        is_recent = last is not None and (now - last).total_seconds() < ALERT_FOR_S
        await switch.turn(on=is_recent, detail=_detail(reissued) if reissued else "issued again a while ago")

    async def sweep(self) -> dict[str, int]:
        """Propose to issue lost work again; returns facility -> the number of commands that were."""
        lost = await self._lost()
        reissued: dict[str, int] = {}
        for row in {row.stream_id: row for row in reversed(lost)}.values():
            number = await self._propose(row)
            if number:
                facility_id = str(row.facility_id)
                reissued[facility_id] = reissued.get(facility_id, 0) + number
        return reissued

    async def _lost(self) -> list[DeadlineRow]:
        now = self.clock.now()
        overdue = await asyncio.to_thread(self.overdue, now)
        if not overdue:
            return []
        # In this order: whatever the relay is past by now is in the queue afterwards, or done, or lost.
        published = await asyncio.to_thread(self.positions.position, READER)
        waiting = await self.inventory.facilities_with_work()
        lost = [row for row in overdue if row.position <= published and row.facility_id not in waiting]
        if not lost:
            return []
        parked = await asyncio.to_thread(parked_commands, self.dead_letters, now=now)
        return [row for row in lost if not _waits_for_a_person(row, parked)]

    async def _propose(self, row: DeadlineRow) -> int:
        """How many commands of that dispatch were issued again."""
        if row.facility_id is None:
            return 0
        command = ReissueLostCommands(dr_event_id=row.dr_event_id, facility_id=row.facility_id, reason=REASON)
        context = CommandContext(
            correlation_id=row.correlation_id,
            causation_id=row.caused_by,
            actor="worker:schedule",
            tenant=row.tenant,
            trace_id=row.trace_id,
        )
        try:
            reissued: tuple[UUID, ...] = await asyncio.to_thread(self.bus.handle, command, context)
        except DomainError as refusal:
            log.info("proposal refused", command=type(command).__name__, why=str(refusal))
            return 0
        if reissued:
            named: dict[str, Any] = {"facility": row.facility_id, "commands": len(reissued)}
            log.warning("lost work was issued again", **named)
        return len(reissued)


def _waits_for_a_person(row: DeadlineRow, parked: Mapping[UUID, datetime]) -> bool:
    """Whether a dead letter was parked of the last issue: the message could not be carried out."""
    parked_at = None if row.intent_id is None else parked.get(row.intent_id)
    return parked_at is not None and (row.issued_at is None or parked_at >= row.issued_at - SKEW)


def _detail(reissued: dict[str, int]) -> str:
    facilities = _listed(sorted(reissued))
    return f"{sum(reissued.values())} commands had no outcome, and the work queue had lost them: {facilities}"


def _listed(names: Iterable[str]) -> str:
    first = list(names)
    more = len(first) - NAMED
    return ", ".join(first[:NAMED]) + (f" and {more} more" if more > 0 else "")
