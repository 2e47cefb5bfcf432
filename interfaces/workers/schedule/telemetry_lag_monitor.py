"""The watch over how long meter messages wait in the log before an aggregate worker has stored them.

It asks the log, not the workers: of these none may be left, and those that are there work on nothing while PostgreSQL
does not say whose share is what.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.operations.alerts import AlertRegistry
from application.ports.raw_archive.telemetry_log import RawLog
from application.ports.telemetry.stream import StreamUnavailable
from domain.telemetry.meter_reading import ALL_PARTITIONS
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop
from interfaces.workers.loops.telemetry_metrics import LAG_S
from interfaces.workers.schedule.lag_alerts import LagAlerts

LOOK_EVERY_S = 3.0
"""Wall seconds."""
_log = structlog.get_logger(__name__)


async def lags_s(log: RawLog, clock: Clock) -> dict[int, float]:
    """Of each partition the age of the oldest message that is not processed, in wall seconds; 0 without any.

    Raises StreamUnavailable.
    """
    found = {}
    for partition in ALL_PARTITIONS:
        oldest_at = await log.oldest_unprocessed(partition)
        waits_s = 0.0 if oldest_at is None else (clock.now() - oldest_at).total_seconds()
        found[partition] = max(0.0, clock.wall_seconds(waits_s))
    return found


@dataclass(frozen=True)
class TelemetryLagMonitor:
    """Tells of lag. One is active per system, and nobody else tells."""

    log: RawLog
    alerts: AlertRegistry
    clock: Clock
    locks: Locks

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, "lag-watch", lambda: self._look_on(stop), stop=stop)

    async def _look_on(self, stop: asyncio.Event) -> None:
        told = {p: LagAlerts(self.alerts, self.clock, f"partition {p}") for p in ALL_PARTITIONS}
        while not stop.is_set():
            await self.look(told)
            await sleep_or_stop(stop, LOOK_EVERY_S)

    async def look(self, told: dict[int, LagAlerts]) -> None:
        """A log that does not answer: the alerts stay as they are."""
        try:
            for partition, lag_s in (await lags_s(self.log, self.clock)).items():
                await told[partition].note(lag_s)
        except StreamUnavailable as error:
            _log.warning("lag cannot be watched", why=str(error))


async def show_lag(log: RawLog, clock: Clock, stop: asyncio.Event) -> None:
    """The metric, until `stop`. It needs neither PostgreSQL nor an aggregate worker."""
    try:
        while not stop.is_set():
            try:
                for partition, lag_s in (await lags_s(log, clock)).items():
                    LAG_S.labels(str(partition)).set(lag_s)
            except StreamUnavailable as error:
                _log.warning("lag cannot be shown", why=str(error))
                forget_lag()
            await sleep_or_stop(stop, LOOK_EVERY_S)
    finally:
        forget_lag()


def forget_lag() -> None:
    """An old lag shown as today's would be worse than none."""
    for partition in ALL_PARTITIONS:
        with suppress(KeyError):
            LAG_S.remove(str(partition))
