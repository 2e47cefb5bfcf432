"""RollupMonitor: states the alert `settling_behind` while quarter-hours wait too long to be finalized.

Corrections, rollups and retention depend on finalized quarter-hours. The monitor runs in another worker than the
finalizing itself: a worker that ends with an error cannot report it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.telemetry.rollup_lag import FinalizingLag
from interfaces.workers.loops.periodic import PeriodicCheck

ALERT, SUBJECT = "settling_behind", "quarter-hours"
BEHIND_S = 600.0
"""Wall seconds that a quarter-hour may wait: finalizing those of ten thousand facilities takes under a minute."""
CHECK_EVERY_S = 30.0
"""Wall seconds."""


@dataclass(frozen=True)
class RollupMonitor:
    """One is active per system."""

    lag: FinalizingLag
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "rollup monitor",
            partial(asyncio.to_thread, self.check),
            every_s=CHECK_EVERY_S,
            lock="settling-watch",
        )

    def check(self) -> None:
        """Raises TelemetryStoreUnavailable or OperationsUnavailable."""
        now = self.clock.now()
        longest = self.lag.longest_wait(now, wall_s_per_s=self.clock.wall_seconds(1.0))
        stated = {}
        if longest is not None and longest.waits_s > BEHIND_S:
            stated[SUBJECT] = (
                f"{longest.waiting} quarter-hours wait to be finalized, that of {longest.facility_id} from "
                f"{longest.starts_at:%Y-%m-%d %H:%M}Z for {longest.waits_s / 60:.0f} minutes"
            )
        self.alerts.state(ALERT, stated, observer="rollup monitor", at=now)
