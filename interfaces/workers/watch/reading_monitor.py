"""ReadingMonitor: states an alert for each facility that serves soon, or now, and whose meters' readings are missing.

It reads what is stored: neither a meter that is off nor a broker that is away can report itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from application.forecast.degraded_alert import RequestedFacility
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.telemetry.missing_readings_alert import MISSING, MissingReadings, short_facilities
from interfaces.workers.loops.periodic import PeriodicCheck
from interfaces.workers.watch.forecast_monitor import facilities_of, open_dr_events, those_taking_part
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow
from projections.queries.views import View

CHECK_EVERY_S = 60.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 5.0


@dataclass(frozen=True)
class ReadingMonitor:
    """One is active per system. When it ends, another process takes over."""

    dr_events: View[DREventRow]
    facilities: View[FacilityRow]
    missing: MissingReadings
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "reading monitor",
            partial(asyncio.to_thread, self.check),
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S)),
            lock="reading-watch",
        )

    def check(self) -> None:
        """Raises TelemetryStoreUnavailable, ListedMetersUnavailable or OperationsUnavailable."""
        now = self.clock.now()
        serving = partial(those_taking_part, self.facilities)
        short = short_facilities(list(self._requested(now)), self.missing.of, serving=serving)
        self.alerts.state(MISSING, short, observer="reading monitor", at=now)

    def _requested(self, now: datetime) -> Iterator[RequestedFacility]:
        """The facilities of DR events that begin soon, or run."""
        for row in open_dr_events(self.dr_events):
            for one in facilities_of(row, now):
                if one.imminent or row.status == "active":
                    yield one
