"""IdempotencyKeyExpiry: once an hour it deletes the idempotency keys that are older than the settings say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from application.ports.clock import Clock
from application.ports.event_store.idempotency_retention import IdempotencyRetention
from interfaces.workers.loops.periodic import PeriodicCheck

EVERY_S = 3_600.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 1.0
MOST = 10_000
"""Keys in one transaction, so that no save waits long."""


@dataclass(frozen=True)
class IdempotencyKeyExpiry:
    """One is active per system. When it ends, another process takes over."""

    keys: IdempotencyRetention
    days: int
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "expiry of idempotency keys",
            self.round,
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(EVERY_S)),
            lock="idempotency-expiry",
        )

    async def round(self) -> float | None:
        """Delete at most MOST keys; 0.0 if there may be more. Raises EventStoreUnavailable."""
        kept = timedelta(seconds=self.clock.wall_seconds(timedelta(days=self.days).total_seconds()))
        return 0.0 if await asyncio.to_thread(self.keys.drop, kept, most=MOST) == MOST else None
