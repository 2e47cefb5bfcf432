"""TelemetryMonitor: alerts when writes to the telemetry store fail, and when its queries are slow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from application.operations.alert_switch import AlertSwitch
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.telemetry.store_health import TelemetryHealth
from interfaces.workers.loops.periodic import PeriodicCheck

WRITE_ERRORS_PCT = 1.0
SLOW_S = 1.0
"""Wall seconds: a 99th percentile of queries above it raises the alert."""
CHECK_EVERY_S = 10.0


@dataclass
class TelemetryMonitor:
    """Of one process; `process` is the subject of its alerts."""

    health: TelemetryHealth
    alerts: AlertRegistry
    clock: Clock
    process: str
    _errors: AlertSwitch = field(init=False)
    _slow: AlertSwitch = field(init=False)

    def __post_init__(self) -> None:
        self._errors = AlertSwitch(self.alerts, self.clock, "telemetry_write_errors", self.process)
        self._slow = AlertSwitch(self.alerts, self.clock, "telemetry_queries_slow", self.process)

    async def run(self, stop: asyncio.Event) -> None:
        await PeriodicCheck("telemetry monitor", self.check, every_s=CHECK_EVERY_S).run(stop)

    async def check(self) -> None:
        """Raise or clear the alerts. With too few calls for a figure an alert stays as it is."""
        errors_pct, p99_s = self.health.write_error_pct(), self.health.query_p99_s()
        if errors_pct is not None:
            detail = f"{errors_pct:.1f} % of the writes of 5 minutes failed"
            await self._errors.turn(on=errors_pct > WRITE_ERRORS_PCT, detail=detail)
        if p99_s is not None:
            detail = f"the slowest hundredth of the queries of 5 minutes took {p99_s:.2f} s or more"
            await self._slow.turn(on=p99_s > SLOW_S, detail=detail)
