"""Retention: once an hour, what telemetry is older than it is kept for is let go of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.telemetry.retention import TelemetryRetention
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.telemetry.retention_policy import ArchivedThrough, RetentionOutcome, RetentionPolicy, enforce
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop

EVERY_S, AGAIN_S = 3_600.0, 60.0
"""Clock seconds between two rounds, and after one that could not do everything; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 1.0
ALERT, SUBJECT = "retention_held_back", "readings"
log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class Retention:
    """One is active per system; another takes over where it ends."""

    store: TelemetryRetention
    policy: RetentionPolicy
    alerts: AlertRegistry
    clock: Clock
    locks: Locks
    archived_through: ArchivedThrough | None = None
    """None: there is no archive to wait for."""

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, "telemetry-retention", lambda: self._go_round(stop), stop=stop)

    async def _go_round(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            pause_s = AGAIN_S
            try:
                outcome = await asyncio.to_thread(self.round)
                pause_s = AGAIN_S if outcome.busy else EVERY_S
            except (TelemetryStoreUnavailable, OperationsUnavailable) as error:
                log.warning("retention is made up for", why=str(error))
            await sleep_or_stop(stop, max(LEAST_WALL_S, self.clock.wall_seconds(pause_s)))

    def round(self) -> RetentionOutcome:
        """Raises TelemetryStoreUnavailable or OperationsUnavailable."""
        outcome = enforce(self.store, self.policy, self.clock, archived_through=self.archived_through)
        now = self.clock.now()
        if outcome.held_back:
            oldest, count = outcome.held_back[0], len(outcome.held_back)
            detail = f"{count} days of readings are due to go, from {oldest} on, and not in the archive yet"
            self.alerts.raise_alert(ALERT, SUBJECT, detail, at=now)
        else:
            self.alerts.clear(ALERT, SUBJECT, at=now)
        return outcome
