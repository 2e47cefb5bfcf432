"""Retention: once an hour it deletes the telemetry that is older than the settings say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.operations.alerts import SILENT_S, AlertRegistry
from application.ports.telemetry.retention import TelemetryRetention
from application.telemetry.retention_policy import ArchivedThrough, RetentionOutcome, RetentionPolicy, enforce
from interfaces.workers.loops.periodic import PeriodicCheck

EVERY_S, AGAIN_S = 3_600.0, 60.0
"""Clock seconds between two rounds, and after one that could not do everything; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 1.0
ALERT, SUBJECT = "retention_held_back", "readings"


@dataclass(frozen=True)
class Retention:
    """One is active per system. When it ends, another process takes over."""

    store: TelemetryRetention
    policy: RetentionPolicy
    alerts: AlertRegistry
    clock: Clock
    archived_through: ArchivedThrough | None = None
    """None: there is no archive to wait for."""

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "retention",
            self._timed_round,
            every_s=self._wall_s(EVERY_S),
            retry_s=self._wall_s(AGAIN_S),
            lock="telemetry-retention",
        )

    async def _timed_round(self) -> float:
        outcome = await asyncio.to_thread(self.round)
        return self._wall_s(AGAIN_S if outcome.busy else EVERY_S)

    def _wall_s(self, clock_s: float) -> float:
        return max(LEAST_WALL_S, self.clock.wall_seconds(clock_s))

    def round(self) -> RetentionOutcome:
        """Raises TelemetryStoreUnavailable or OperationsUnavailable."""
        outcome = enforce(self.store, self.policy, self.clock, archived_through=self.archived_through)
        stated = {}
        if outcome.held_back:
            oldest, count = outcome.held_back[0], len(outcome.held_back)
            stated[SUBJECT] = (
                f"{count} days of readings are due to go, from {oldest} on, and not in the archive yet"
            )
        holds_s = 2 * self._wall_s(EVERY_S) + SILENT_S
        self.alerts.state(ALERT, stated, observer="retention", at=self.clock.now(), holds_s=holds_s)
        return outcome
