"""The watch over settling: corrections, rollups and retention rest on quarter-hours that are written down.

It runs beside other workers than the one that settles: whoever ends over an error cannot tell of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.telemetry.rollup_lag import FinalizingLag
from application.ports.telemetry.store import TelemetryStoreUnavailable
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop

ALERT, SUBJECT = "settling_behind", "quarter-hours"
BEHIND_S = 600.0
"""Wall seconds a quarter-hour may wait: settling ten thousand facilities' takes well under a minute."""
LOOK_EVERY_S = 30.0
"""Wall seconds."""
log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class RollupMonitor:
    """One is active per system."""

    lag: FinalizingLag
    alerts: AlertRegistry
    clock: Clock
    locks: Locks

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, "settling-watch", lambda: self._look_on(stop), stop=stop)

    async def _look_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await asyncio.to_thread(self.look)
            except (TelemetryStoreUnavailable, OperationsUnavailable) as error:
                log.warning("settling cannot be watched", why=str(error))
            await sleep_or_stop(stop, LOOK_EVERY_S)

    def look(self) -> None:
        """Raises TelemetryStoreUnavailable or OperationsUnavailable."""
        now = self.clock.now()
        longest = self.lag.longest_wait(now, wall_s_per_s=self.clock.wall_seconds(1.0))
        if longest is None or longest.waits_s <= BEHIND_S:
            self.alerts.clear(ALERT, SUBJECT, at=now)
            return
        detail = (
            f"{longest.waiting} quarter-hours wait to be settled, that of {longest.facility_id} from "
            f"{longest.starts_at:%Y-%m-%d %H:%M}Z for {longest.waits_s / 60:.0f} minutes"
        )
        self.alerts.raise_alert(ALERT, SUBJECT, detail, at=now)
