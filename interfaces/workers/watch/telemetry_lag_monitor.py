"""TelemetryLagMonitor: alerts and a metric for how long meter messages wait before an aggregate worker stores them.

It reads the telemetry log and does not ask the workers: none may be left, and those that run store nothing while
PostgreSQL cannot assign their partitions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.raw_archive.telemetry_log import RawLog
from application.ports.telemetry.stream import StreamUnavailable
from application.telemetry.lag import LEVELS_S, RISING, LagTrend
from domain.telemetry.meter_reading import ALL_PARTITIONS
from interfaces.workers.loops.periodic import PeriodicCheck
from interfaces.workers.loops.telemetry_metrics import LAG_S

OBSERVER = "telemetry lag monitor"
CHECK_EVERY_S = 3.0
"""Wall seconds."""


@dataclass
class TelemetryLagMonitor:
    """One is active per system."""

    log: RawLog
    alerts: AlertRegistry
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    _trends: dict[int, LagTrend] = field(default_factory=dict)

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "telemetry lag monitor",
            self.check,
            every_s=CHECK_EVERY_S,
            lock="lag-watch",
            reset=self._trends.clear,
        )

    async def check(self) -> None:
        """Raises StreamUnavailable or OperationsUnavailable."""
        stated: dict[str, dict[str, str]] = {name: {} for name in (*LEVELS_S, RISING)}
        for partition, lag_s in (await lags_s(self.log, self.clock)).items():
            trend = self._trends.setdefault(partition, LagTrend())
            for name, is_on in trend.note(self.monotonic(), lag_s).items():
                if is_on:
                    stated[name][f"partition {partition}"] = f"readings wait {lag_s:.0f} s to be stored"
        at = self.clock.now()
        for name, waiting in stated.items():
            await asyncio.to_thread(self.alerts.state, name, waiting, observer=OBSERVER, at=at)


async def lags_s(log: RawLog, clock: Clock) -> dict[int, float]:
    """The age of each partition's oldest message that is not processed, in wall seconds; 0 without any.

    Raises StreamUnavailable.
    """
    lags = {}
    for partition in ALL_PARTITIONS:
        oldest_at = await log.oldest_unprocessed(partition)
        waits_s = 0.0 if oldest_at is None else (clock.now() - oldest_at).total_seconds()
        lags[partition] = max(0.0, clock.wall_seconds(waits_s))
    return lags


async def show_lag(log: RawLog, clock: Clock, stop: asyncio.Event) -> None:
    """Keep the metric up to date until `stop`. It needs neither PostgreSQL nor an aggregate worker."""

    async def show() -> None:
        try:
            lags = await lags_s(log, clock)
        except StreamUnavailable:
            forget_lag()
            raise
        for partition, lag_s in lags.items():
            LAG_S.labels(str(partition)).set(lag_s)

    try:
        await PeriodicCheck("telemetry lag metric", show, every_s=CHECK_EVERY_S).run(stop)
    finally:
        forget_lag()


def forget_lag() -> None:
    """Remove the metric's values: an old lag shown as the present one would be worse than none."""
    for partition in ALL_PARTITIONS:
        with suppress(KeyError):
            LAG_S.remove(str(partition))
