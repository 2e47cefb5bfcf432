"""The simulated utility that receives callbacks: unavailable at times, losing responses, answering 503 or 403."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import NamedTuple
from uuid import UUID

import msgspec

from application.ports.callback import CallbackAccepted, CallbackFailed, check_status
from application.ports.clock import Clock
from tests.simulation.runtime.processes import running_process
from tests.simulation.scenario.fault_injection import FaultInjector

LONGEST_S, TIME_OUT_S = 5.0, 30.0
"""The longest time of a callback that is answered, and of one that is not, in clock seconds."""


class ReceivedCallback(NamedTuple):
    at: datetime
    callback_id: UUID
    body: str


class TriedCallback(msgspec.Struct, kw_only=True):
    """One call of a utility, also without a response."""

    at: datetime
    utility_id: str
    callback_id: UUID
    body: str
    caller: str
    ended_at: datetime | None = None
    """None if its caller died or it never ended."""


@dataclass
class SimulatedUtilityNotifier:
    """UtilityNotifier that records the delivered callbacks."""

    clock: Clock
    injector: FaultInjector
    rng: Random
    away: bool = False
    silent: frozenset[str] = frozenset()
    """Utilities that take each call and never answer, until the faults are over."""
    received: list[ReceivedCallback] = field(default_factory=list)
    tried: list[TriedCallback] = field(default_factory=list)

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        call = TriedCallback(
            at=self.clock.now(),
            utility_id=utility_id,
            callback_id=callback_id,
            body=body,
            caller=running_process(),
        )
        self.tried.append(call)
        try:
            return await self._answer(utility_id, body, callback_id)
        finally:
            call.ended_at = self.clock.now()

    async def _answer(self, utility_id: str, body: str, callback_id: UUID) -> CallbackAccepted:
        if utility_id in self.silent and not self.injector.is_over:
            self.injector.strike("utility.never_answers", utility_id)
            await asyncio.sleep(self.clock.wall_seconds(TIME_OUT_S))
            raise CallbackFailed(f"simulated: no answer within {TIME_OUT_S:g} s")
        await asyncio.sleep(self.clock.wall_seconds(self.rng.random() * LONGEST_S))
        if self.away or self.injector.strikes("utility.is_away", utility_id):
            raise CallbackFailed("simulated: no response")
        if self.injector.strikes("utility.says_not_now", utility_id):
            return check_status(503, "simulated")
        if self.injector.strikes("utility.refuses", utility_id):
            return check_status(403, "simulated: the key was changed")
        self.received.append(ReceivedCallback(self.clock.now(), callback_id, body))
        if self.injector.strikes("utility.loses_answer", utility_id):
            raise CallbackFailed("simulated: delivered, but the response was lost")
        return CallbackAccepted(status_code=200)

    async def aclose(self) -> None:
        """Nothing is open."""
