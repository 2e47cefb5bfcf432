"""The clock on dead letters: looks every few seconds which of them nobody has acted on in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from application.operations.dead_letter_sla import escalate
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop

LOOK_EVERY_S = 10.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 0.5
log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class DeadLetterMonitor:
    """One is active per system; another takes over where it ends."""

    letters: DeadLetters
    alerts: AlertRegistry
    clock: Clock
    locks: Locks
    sla_s: float

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, "dead-letter-sla", lambda: self._look_on(stop), stop=stop)

    async def _look_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await asyncio.to_thread(self.look)
            except OperationsUnavailable as error:
                log.warning("the registers are unavailable; trying again", why=str(error))
            await sleep_or_stop(stop, max(LEAST_WALL_S, self.clock.wall_seconds(LOOK_EVERY_S)))

    def look(self) -> None:
        escalate(self.letters, self.alerts, now=self.clock.now(), sla_s=self.sla_s)
