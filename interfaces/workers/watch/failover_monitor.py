"""FailoverMonitor: states the alert `database_failover` once the writable PostgreSQL server changes in a DR event.

A failover loses nothing that was answered, and every worker continues by itself. The operators of a running DR event
must learn of it, because the new server may have no standby yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.database_server import DatabaseServer, ServerIdentity
from domain.dr_event import DREventStatus
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.dr_event.projection import DREventRow
from projections.queries.views import View, all_rows

ALERT, SUBJECT, OBSERVER = "database_failover", "event store", "failover monitor"
UNDER_WAY: tuple[DREventStatus, ...] = ("preparing", "active", "recovering")
MOST_NAMED = 10
"""DR events in the detail of an alert; the others are at `GET /api/dr-events?status=...`."""
CHECK_EVERY_S = 5.0
"""Wall seconds: a failover takes wall time, whatever the speed of the clock."""
log = structlog.get_logger("watch")


@dataclass
class FailoverMonitor:
    """One is active per system. A new one starts without knowledge of earlier servers."""

    server: DatabaseServer
    dr_events: View[DREventRow]
    alerts: AlertRegistry
    clock: Clock
    _last_place: ServerIdentity | None = field(default=None, init=False)
    _stated: Mapping[str, str] | None = field(default=None, init=False)

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "failover monitor",
            partial(asyncio.to_thread, self.check),
            every_s=CHECK_EVERY_S,
            lock="failover-watch",
            reset=self.reset,
        )

    def reset(self) -> None:
        """Another process worked meanwhile: what it stated is read again."""
        self._stated = None

    def check(self) -> None:
        """State the alert from a change of the server in a DR event on, until no DR event is under way."""
        place = self.server.place()
        under_way = _first_ids(self._under_way())
        moved = self._last_place is not None and place != self._last_place
        stated = self.alerts.stated(ALERT, observer=OBSERVER) if self._stated is None else self._stated
        if moved:
            log.warning("the database failed over", was=self._last_place, now=place, dr_events=under_way)
            detail = f"{_described(self._last_place)} is now {_described(place)}; under way: {under_way}"
            stated = {SUBJECT: detail}
        self._stated = stated if under_way else {}
        self.alerts.state(ALERT, self._stated, observer=OBSERVER, at=self.clock.now())
        self._last_place = place  # last: where the statement could not be written, the next check does so

    def _under_way(self) -> Iterator[str]:
        for status in UNDER_WAY:
            for row in all_rows(self.dr_events, status=status):
                yield row.utility_event_id


def _first_ids(utility_event_ids: Iterator[str]) -> str:
    """The first MOST_NAMED of them, separated by commas; empty where there is none."""
    some = list(islice(utility_event_ids, MOST_NAMED + 1))
    return ", ".join(some[:MOST_NAMED]) + (" and others" if len(some) > MOST_NAMED else "")


def _described(place: ServerIdentity | None) -> str:
    return "nothing" if place is None else f"{place.address} on timeline {place.timeline}"
