"""The operator who decides on dead letters: replays what was mended, and discards what a replay cannot do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

from application.command_bus.bus import CommandBus
from application.command_bus.retry import TRANSIENT
from application.operations import dead_letter_decisions
from application.operations.dead_letter_replay import DeadLetterReplay, NotReplayable
from application.ports.operations.dead_letters import DeadLetter, DeadLetterDecided, DeadLetterQueue
from domain.errors import DomainError
from tests.simulation.doubles.clock import VirtualClock
from tests.simulation.doubles.database import Session
from tests.simulation.scenario.fault_injection import FaultInjector

ROUND_S = 60.0
"""Clock seconds between two looks at the dead letters."""
QUEUES: tuple[DeadLetterQueue, ...] = ("bms_command", "callback", "saga_command")
NOT_NOW: tuple[type[Exception], ...] = (*TRANSIENT, DeadLetterDecided)
OPERATOR, REASON = "operator:simulated", "it was mended"


@dataclass(frozen=True)
class DeadLetterOperator:
    """Also tries too early at times. After the last fault every letter is decided."""

    session: Session
    bus: CommandBus
    clock: VirtualClock
    injector: FaultInjector
    rng: Random

    async def run(self) -> None:
        replay = DeadLetterReplay(
            dead_letters=self.session.dead_letters,
            bus=self.bus,
            clock=self.clock,
            open_work=self.session.open_work,
            stream=_UNUSED,
            meters=_UNUSED,
            event_log=self.session,
        )
        while True:
            await asyncio.sleep(self.clock.wall_seconds(ROUND_S))
            for letter in self.open_letters():
                if self.injector.is_over or self.rng.random() < 0.3:
                    await self._decide(replay, letter)

    def open_letters(self) -> list[DeadLetter]:
        """The oldest first."""
        letters = self.session.database.dead_letters.listed(limit=10_000)
        found = [letter for letter in letters if letter.queue in QUEUES]
        return sorted(found, key=lambda letter: (letter.parked_at, letter.dead_letter_id))

    async def _decide(self, replay: DeadLetterReplay, letter: DeadLetter) -> None:
        try:
            await replay.replay(letter.dead_letter_id, by=OPERATOR, reason=REASON)
        except DomainError as refusal:
            await self._discard(letter, str(refusal))
        except NotReplayable as refusal:
            if letter.queue == "bms_command":  # no command, only a question for the BMS
                await self._discard(letter, str(refusal))
            else:
                self.injector.trace.note("operator", f"cannot replay yet: {refusal}")
        except NOT_NOW as error:
            self.injector.trace.note("operator", f"did not replay: {error}")
        else:
            self.injector.trace.note("operator", f"replayed: {letter.queue} of {letter.subject}")

    async def _discard(self, letter: DeadLetter, reason: str) -> None:
        session = self.session
        try:
            await asyncio.to_thread(
                dead_letter_decisions.discard,
                letter.dead_letter_id,
                session.dead_letters,
                by=OPERATOR,
                reason=reason,
                at=self.clock.now(),
            )
        except NOT_NOW as error:
            self.injector.trace.note("operator", f"did not discard: {error}")
        else:
            self.injector.trace.note("operator", f"discarded: {letter.queue} of {letter.subject}: {reason}")


_UNUSED: Any = None
"""No letter of these queues needs the telemetry stream or the listed meters."""
