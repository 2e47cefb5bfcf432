"""TelemetryLagMonitor: alerts and a metric for how long meter messages wait before an aggregate worker stores them.

It reads the telemetry log and does not ask the workers: none may be left, and those that run store nothing while
PostgreSQL cannot assign their partitions.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from application.operations.alert_switch import AlertSwitch
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.raw_archive.telemetry_log import RawLog
from application.ports.telemetry.stream import StreamUnavailable
from application.telemetry.lag import LEVELS_S, RISING, LagTrend
from domain.telemetry.meter_reading import ALL_PARTITIONS
from interfaces.workers.loops.periodic import PeriodicCheck
from interfaces.workers.loops.telemetry_metrics import LAG_S

CHECK_EVERY_S = 3.0
"""Wall seconds."""


class LagAlerts:
    """The alerts of one partition. A new monitor writes each of them once, so that none of a dead process stays."""

    def __init__(self, alerts: AlertRegistry, clock: Clock, subject: str) -> None:
        self._trend = LagTrend()
        self._switches = {name: AlertSwitch(alerts, clock, name, subject) for name in (*LEVELS_S, RISING)}

    async def note(self, lag_s: float, at_s: float | None = None) -> None:
        """`lag_s` is the age of the oldest message not stored, wall seconds; 0 where all are."""
        on = self._trend.note(time.monotonic() if at_s is None else at_s, lag_s)
        for name, switch in self._switches.items():
            await switch.turn(on=on[name], detail=f"readings wait {lag_s:.0f} s to be stored")


@dataclass(frozen=True)
class TelemetryLagMonitor:
    """One is active per system, and no other process writes these alerts."""

    log: RawLog
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        alerts: dict[int, LagAlerts] = {}

        def reset() -> None:
            alerts.update({p: LagAlerts(self.alerts, self.clock, f"partition {p}") for p in ALL_PARTITIONS})

        return PeriodicCheck(
            "telemetry lag monitor",
            partial(self.check, alerts),
            every_s=CHECK_EVERY_S,
            lock="lag-watch",
            reset=reset,
        )

    async def check(self, alerts: dict[int, LagAlerts]) -> None:
        """Raises StreamUnavailable: the alerts then stay as they are."""
        for partition, lag_s in (await lags_s(self.log, self.clock)).items():
            await alerts[partition].note(lag_s)


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
