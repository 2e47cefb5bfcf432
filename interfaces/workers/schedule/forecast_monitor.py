"""The watch before DR events: looks every half minute whose forecast is degraded while a DR event is near.

It runs beside the schedule and not beside the forecasts, so that it also tells when no forecast is issued any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog

from application.forecast.degraded_alert import AHEAD, RequestedFacility, update_degraded_alerts
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.forecast_book import ForecastBook
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from domain.dr_event import DREventStatus
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow, key_of
from projections.queries.all_rows import every_row
from projections.queries.views import ReadModelsUnavailable, View

LOOK_EVERY_S = 30.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 0.5
OPEN: tuple[DREventStatus, ...] = ("accepted", "scheduled", "preparing", "active")
log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class ForecastMonitor:
    """One is active per system; another takes over where it ends."""

    dr_events: View[DREventRow]
    facilities: View[FacilityRow]
    book: ForecastBook
    alerts: AlertRegistry
    clock: Clock
    locks: Locks

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, "forecast-watch", lambda: self._look_on(stop), stop=stop)

    async def _look_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await asyncio.to_thread(self.look)
            except (OperationsUnavailable, ReadModelsUnavailable, EventStoreUnavailable) as error:
                log.warning("the stores are unavailable; trying again", why=str(error))
            await sleep_or_stop(stop, max(LEAST_WALL_S, self.clock.wall_seconds(LOOK_EVERY_S)))

    def look(self) -> None:
        now = self.clock.now()
        asked = [one for row in self._open() for one in asked_by(row, now)]
        update_degraded_alerts(asked, self.book, self.alerts, serves=self._serves, now=now)

    def _serves(self, asked: RequestedFacility) -> bool:
        """Whether it still takes part: it may have been pre-empted, or have opted out."""
        row = self.facilities.get(key_of(asked.facility_id))
        if row is None or row.opted_out or asked.dr_event_id in row.opted_out_of:
            return False
        return any(reservation.dr_event_id == asked.dr_event_id for reservation in row.reservations)

    def _open(self) -> Iterator[DREventRow]:
        for status in OPEN:
            yield from every_row(self.dr_events, status=status)


def asked_by(row: DREventRow, now: datetime) -> Iterator[RequestedFacility]:
    """The facilities that an open DR event names."""
    if row.starts_at is None:
        return
    near = row.status in {"accepted", "scheduled"} and row.starts_at - now <= AHEAD
    for facility_id in row.facility_ids:
        yield RequestedFacility(
            facility_id=facility_id,
            dr_event_id=row.dr_event_id,
            utility_event_id=row.utility_event_id,
            starts_at=row.starts_at,
            imminent=near or row.status == "preparing",
        )
