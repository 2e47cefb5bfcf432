"""IdempotencyKeyExpiry: once an hour it deletes the idempotency keys that are older than the settings say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.event_store.idempotency_retention import IdempotencyRetention
from interfaces.workers.loops.leader_loop import run_as_leader
from interfaces.workers.loops.periodic import run_periodically

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
    locks: Locks

    async def run(self, stop: asyncio.Event) -> None:
        rounds = partial(
            run_periodically,
            partial(self.round, stop),
            name="expiry of idempotency keys",
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(EVERY_S)),
            stop=stop,
        )
        await run_as_leader(self.locks, "idempotency-expiry", rounds, stop=stop)

    async def round(self, stop: asyncio.Event) -> None:
        """Raises EventStoreUnavailable."""
        kept = timedelta(seconds=self.clock.wall_seconds(timedelta(days=self.days).total_seconds()))
        while not stop.is_set() and await asyncio.to_thread(self.keys.drop, kept, most=MOST) == MOST:
            pass
