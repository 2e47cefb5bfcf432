"""The utility's end of our callbacks: away for a while, losing its answer, asking to come again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import NamedTuple
from uuid import UUID

from application.ports.callback import CallbackAccepted, CallbackFailed, check_status
from application.ports.clock import Clock
from tests.simulation.scenario.fault_injection import Mishaps

LONGEST_S = 5.0
"""A callback takes at most that long, clock seconds."""


class ReceivedCallback(NamedTuple):
    at: datetime
    callback_id: UUID
    body: str


@dataclass
class SimulatedUtilityNotifier:
    """UtilityNotifier, and all that it delivered."""

    clock: Clock
    mishaps: Mishaps
    chance: Random
    away: bool = False
    received: list[ReceivedCallback] = field(default_factory=list)

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        await asyncio.sleep(self.clock.wall_seconds(self.chance.random() * LONGEST_S))
        if self.away or self.mishaps.strikes("utility.is_away", utility_id):
            raise CallbackFailed("simulated: nobody answers")
        if self.mishaps.strikes("utility.says_not_now", utility_id):
            return check_status(503, "simulated")
        if self.mishaps.strikes("utility.refuses", utility_id):
            return check_status(403, "simulated: the key was changed")
        self.received.append(ReceivedCallback(self.clock.now(), callback_id, body))
        if self.mishaps.strikes("utility.loses_answer", utility_id):
            raise CallbackFailed("simulated: it has it, but the answer was lost")
        return CallbackAccepted(status_code=200)

    async def aclose(self) -> None:
        """Nothing is open."""
