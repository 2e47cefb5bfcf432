"""DeadLetterMonitor: raises the alert `dead_letter_overdue` for dead letters that nobody decided in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from application.operations.dead_letter_sla import escalate
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from interfaces.workers.loops.leader_loop import run_as_leader
from interfaces.workers.loops.periodic import run_periodically

CHECK_EVERY_S = 10.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 0.5


@dataclass(frozen=True)
class DeadLetterMonitor:
    """One is active per system. When it ends, another process takes over."""

    letters: DeadLetters
    alerts: AlertRegistry
    clock: Clock
    locks: Locks
    sla_s: float

    async def run(self, stop: asyncio.Event) -> None:
        every_s = max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S))
        checks = partial(
            run_periodically,
            partial(asyncio.to_thread, self.check),
            name="dead letter monitor",
            every_s=every_s,
            stop=stop,
        )
        await run_as_leader(self.locks, "dead-letter-sla", checks, stop=stop)

    def check(self) -> None:
        escalate(self.letters, self.alerts, now=self.clock.now(), sla_s=self.sla_s)
