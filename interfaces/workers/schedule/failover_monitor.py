"""The watch over the database: looks every few seconds whether writes still go to the same server.

A failover loses nothing that was answered, and every worker goes on by itself. But who answers for a running DR event
should know of it: the new server may have no standby of its own yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import structlog

from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.database_server import DatabaseServer, ServerIdentity
from application.ports.operations.unavailable import OperationsUnavailable
from domain.dr_event import DREventStatus
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop
from projections.dr_event.projection import DREventRow
from projections.queries.all_rows import every_row
from projections.queries.views import ReadModelsUnavailable, View

ALERT, SUBJECT = "database_failover", "event store"
UNDER_WAY: tuple[DREventStatus, ...] = ("preparing", "active", "recovering")
MOST_NAMED = 10
"""DR events in the detail of an alert; the others are at `GET /api/dr-events?status=...`."""
LOOK_EVERY_S = 5.0
"""Wall seconds: a failover is measured in those, whatever the speed of the clock."""
log = structlog.get_logger("schedule")


@dataclass
class FailoverMonitor:
    """One is active per system; one that begins anew knows nothing of what was before it."""

    server: DatabaseServer
    dr_events: View[DREventRow]
    alerts: AlertRegistry
    clock: Clock
    locks: Locks
    _known: ServerIdentity | None = field(default=None, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self.locks, "failover-watch", lambda: self._look_on(stop), stop=stop)

    async def _look_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await asyncio.to_thread(self.look)
            except (OperationsUnavailable, ReadModelsUnavailable) as error:
                log.warning("the database is unavailable; looking again", why=str(error))
            await sleep_or_stop(stop, LOOK_EVERY_S)

    def look(self) -> None:
        """Raise the alert where it moved during a DR event; clear it once none of that time is under way any more."""
        place = self.server.place()
        under_way = _named(self._under_way())
        moved = self._known is not None and place != self._known
        if moved:
            log.warning("the database failed over", was=self._known, now=place, dr_events=under_way)
        if moved and under_way:
            detail = f"{_told(self._known)} is now {_told(place)}; under way: {under_way}"
            self.alerts.raise_alert(ALERT, SUBJECT, detail, at=self.clock.now())
        elif not under_way:
            self.alerts.clear(ALERT, SUBJECT, at=self.clock.now())
        self._known = place  # only now: where the register is away, it is told at the next look

    def _under_way(self) -> Iterator[str]:
        for status in UNDER_WAY:
            for row in every_row(self.dr_events, status=status):
                yield row.utility_event_id


def _named(utility_event_ids: Iterator[str]) -> str:
    """The first of them, however many there are; nothing where there is none."""
    some = list(islice(utility_event_ids, MOST_NAMED + 1))
    return ", ".join(some[:MOST_NAMED]) + (" and others" if len(some) > MOST_NAMED else "")


def _told(place: ServerIdentity | None) -> str:
    return "nothing" if place is None else f"{place.address} on timeline {place.timeline}"
