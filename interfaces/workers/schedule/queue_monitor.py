"""Bounded queues that are full: told while they are, by the alert `queue_full`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import structlog

from application.operations.alert_switch import AlertSwitch
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.dispatch.work_queue import BmsWork, CallbackWork, WorkPublisher, WorkQueueFull
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop
from projections.dr_event.projection import DREventRow
from projections.queries.views import MOST_ROWS, ReadModelsUnavailable, View

ALERT = "queue_full"
DOOR, COMMANDS, CALLBACKS = "door", "work queue of BMS commands", "work queue of callbacks"
LOOK_EVERY_S = 1.0
"""Wall seconds."""
log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class WebhookQueueMonitor:
    """Looks whether as many DR events wait to be planned as the door lets in. One is active per system.

    It sits beside the schedule and not at the door: what keeps DR events from being planned may keep utilities from
    asking, too, and then nobody would tell.
    """

    dr_events: View[DREventRow]
    depth: int
    alerts: AlertRegistry
    clock: Clock
    locks: Locks

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, "door-watch", lambda: self._look_on(stop), stop=stop)

    async def _look_on(self, stop: asyncio.Event) -> None:
        switch = AlertSwitch(self.alerts, self.clock, ALERT, DOOR)
        while not stop.is_set():
            try:
                await self.look(switch)
            except ReadModelsUnavailable as error:
                log.warning("the read models are unavailable; looking again", why=str(error))
            await sleep_or_stop(stop, LOOK_EVERY_S)

    async def look(self, switch: AlertSwitch) -> None:
        waiting = await asyncio.to_thread(self._waiting)
        detail = f"{waiting} DR events wait to be planned, and new ones are turned away"
        await switch.turn(on=waiting >= self.depth, detail=detail)

    def _waiting(self) -> int:
        """As many as there are, or as the door lets in."""
        found, cursor = 0, None
        while found < self.depth:
            page = self.dr_events.listed(
                filters={"status": "accepted"}, cursor=cursor, limit=min(MOST_ROWS, self.depth - found)
            )
            found, cursor = found + len(page.rows), page.next_cursor
            if cursor is None:
                break
        return found


@dataclass(frozen=True)
class TellingPublisher:
    """WorkPublisher: tells where a queue takes nothing because it is full, until it takes something again."""

    publisher: WorkPublisher
    commands: AlertSwitch
    callbacks: AlertSwitch

    @classmethod
    def of(cls, publisher: WorkPublisher, alerts: AlertRegistry, clock: Clock) -> Self:
        return cls(
            publisher,
            commands=AlertSwitch(alerts, clock, ALERT, COMMANDS),
            callbacks=AlertSwitch(alerts, clock, ALERT, CALLBACKS),
        )

    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        async with _telling(self.commands):
            await self.publisher.publish_bms(work, message_id=message_id)

    async def publish_callback(self, work: CallbackWork, *, message_id: str) -> None:
        async with _telling(self.callbacks):
            await self.publisher.publish_callback(work, message_id=message_id)


@asynccontextmanager
async def _telling(switch: AlertSwitch) -> AsyncIterator[None]:
    try:
        yield
    except WorkQueueFull as error:
        await switch.turn(on=True, detail=str(error))
        raise
    await switch.turn(on=False)
