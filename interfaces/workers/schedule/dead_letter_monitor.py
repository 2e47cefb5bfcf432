"""DeadLetterMonitor: raises the alert `dead_letter_overdue` for dead letters that nobody decided in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from application.operations.dead_letter_sla import escalate
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from interfaces.workers.loops.periodic import PeriodicCheck

CHECK_EVERY_S = 10.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 0.5


@dataclass(frozen=True)
class DeadLetterMonitor:
    """One is active per system. When it ends, another process takes over."""

    letters: DeadLetters
    alerts: AlertRegistry
    clock: Clock
    sla_s: float

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "dead letter monitor",
            partial(asyncio.to_thread, self.check),
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S)),
            lock="dead-letter-sla",
        )

    def check(self) -> None:
        escalate(self.letters, self.alerts, now=self.clock.now(), sla_s=self.sla_s)
