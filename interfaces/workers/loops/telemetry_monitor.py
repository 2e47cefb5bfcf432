"""TelemetryMonitor: states alerts while writes to the telemetry store fail, and when its queries are slow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.telemetry.store_health import TelemetryHealth
from interfaces.workers.loops.observer import this_process
from interfaces.workers.loops.periodic import PeriodicCheck

WRITE_ERRORS_PCT = 1.0
SLOW_S = 1.0
"""Wall seconds: a 99th percentile of queries above it raises the alert."""
CHECK_EVERY_S = 10.0


@dataclass(frozen=True)
class TelemetryMonitor:
    """Of one process; `process` is the subject of its alerts."""

    health: TelemetryHealth
    alerts: AlertRegistry
    clock: Clock
    process: str

    async def run(self, stop: asyncio.Event) -> None:
        check = partial(asyncio.to_thread, self.check)
        await PeriodicCheck("telemetry monitor", check, every_s=CHECK_EVERY_S).run(stop)

    def check(self) -> None:
        """State the alerts; with too few calls for a figure nothing is known. Raises OperationsUnavailable."""
        errors_pct, p99_s = self.health.write_error_pct(), self.health.query_p99_s()
        if errors_pct is not None:
            detail = f"{errors_pct:.1f} % of the writes of 5 minutes failed"
            self._state("telemetry_write_errors", detail if errors_pct > WRITE_ERRORS_PCT else None)
        if p99_s is not None:
            detail = f"the slowest hundredth of the queries of 5 minutes took {p99_s:.2f} s or more"
            self._state("telemetry_queries_slow", detail if p99_s > SLOW_S else None)

    def _state(self, name: str, detail: str | None) -> None:
        stated = {} if detail is None else {self.process: detail}
        self.alerts.state(name, stated, observer=this_process(), at=self.clock.now())
