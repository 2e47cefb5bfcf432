"""DeadLetterMonitor: states the alerts of open dead letters, and that nobody has decided one in time.

Who parks work has only to store the letter: the alerts follow from it, and end with the decision.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from application.operations.dead_letter_alerts import LetterAlert, stated_of, waiting_letters
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters, OpenDeadLetters
from interfaces.workers.loops.periodic import PeriodicCheck

CHECK_EVERY_S = 1.0
READ_EVERY_S = 10.0
"""Wall seconds after which the letters are read again though their numbers have not changed."""


@dataclass
class DeadLetterMonitor:
    """One is active per system. When it ends, another process takes over."""

    letters: DeadLetters
    alerts: AlertRegistry
    clock: Clock
    sla_s: float
    monotonic: Callable[[], float] = time.monotonic
    _numbers: Sequence[OpenDeadLetters] | None = field(default=None, init=False)
    _waiting: Sequence[LetterAlert] = field(default=(), init=False)
    _read_at_s: float = field(default=0.0, init=False)

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "dead letter monitor",
            partial(asyncio.to_thread, self.check),
            every_s=CHECK_EVERY_S,
            lock="dead-letter-sla",
        )

    def check(self) -> None:
        """Raises OperationsUnavailable."""
        numbers, now_s = self.letters.open_by_queue(), self.monotonic()
        if numbers != self._numbers or now_s - self._read_at_s >= READ_EVERY_S:
            self._waiting = waiting_letters(self.letters, now=self.clock.now())
            self._numbers, self._read_at_s = numbers, now_s
        now = self.clock.now()
        for name, stated in stated_of(self._waiting, now=now, sla_s=self.sla_s).items():
            self.alerts.state(name, stated, observer="dead letter monitor", at=now)
