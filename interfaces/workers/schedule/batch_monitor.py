"""BatchMonitor: alerts while a DR event is under way when too many of its facilities have dropped out.

Waiting for its end would be too late: from that moment on 80 % cannot be reached, whatever the others do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from application.dispatch.intent_publisher import BATCH_ALERT, MIN_SUCCESS
from application.ports.clock import Clock
from application.ports.operations.alerts import Alert, AlertRegistry, every_open_alert
from domain.dispatch import FINAL as FINAL_DISPATCH
from domain.dispatch import UNDOING
from domain.dr_event import DREventStatus
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow, key_of
from projections.queries.views import View, all_rows

LOCK = "batch-watch"
CHECK_EVERY_S = 10.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 1.0
UNDER_WAY: tuple[DREventStatus, ...] = ("scheduled", "preparing", "active", "recovering")
RELEASED = sorted({"aborting", *UNDOING, *FINAL_DISPATCH})
"""The statuses of dispatches that may have dropped out. All others go on."""
MAY_IMPROVE = UNDER_WAY[:-1]
"""Until its end a facility that opts in again may be planned once more."""
REACHABLE_FOR = timedelta(minutes=1)
"""Clock time without a reason for the alert: the row may be behind the relay, which raises it at the end."""
SHOWN_FOR = timedelta(hours=1)
"""Clock time that the alert stays open after the end of the DR event."""
NAMED = 5
"""How many facilities an alert names."""


@dataclass(frozen=True)
class BatchMonitor:
    """One is active per system. The relay judges the batch once it is counted, so a restart loses no alert."""

    dr_events: View[DREventRow]
    dispatches: View[DispatchRow]
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "batch monitor",
            partial(asyncio.to_thread, self.check),
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S)),
            lock=LOCK,
        )

    def check(self) -> None:
        """Raise the alert of each DR event that can no longer reach the share, and end the alerts of others."""
        now = self.clock.now()
        out_of_reach = {str(row.dr_event_id): detail for row, detail in self._out_of_reach()}
        for dr_event_id, detail in out_of_reach.items():
            self.alerts.raise_alert(BATCH_ALERT, dr_event_id, detail, at=now)
        for alert in every_open_alert(self.alerts):
            if alert.name == BATCH_ALERT and alert.subject not in out_of_reach and self._is_over(alert, now):
                self.alerts.clear(BATCH_ALERT, alert.subject, at=now)

    def _out_of_reach(self) -> Iterator[tuple[DREventRow, str]]:
        for status in UNDER_WAY:
            for row in all_rows(self.dr_events, status=status):
                lost, asked = self._lost(row), len(row.facility_ids)
                if asked and (asked - len(lost)) / asked < MIN_SUCCESS:
                    yield row, f"at most {asked - len(lost)} of {asked} facilities can serve: {_named(lost)}"

    def _lost(self, row: DREventRow) -> list[str]:
        """The requested facilities that have dropped out. One without a dispatch may still be planned."""
        return sorted(
            dispatch.facility_id
            for status in RELEASED
            for dispatch in all_rows(self.dispatches, dr_event_id=str(row.dr_event_id), status=status)
            if dispatch.has_dropped_out and dispatch.facility_id in row.facility_ids
        )

    def _is_over(self, alert: Alert, now: datetime) -> bool:
        """Whether the share has been in reach for REACHABLE_FOR, or the DR event over for SHOWN_FOR."""
        row = self.dr_events.get(key_of(UUID(alert.subject)))
        if row is None:
            return False  # the read model is being rebuilt
        ended_at = row.completed_at or row.cancelled_at
        if ended_at is None:
            return row.status in MAY_IMPROVE and now - alert.last_seen_at >= REACHABLE_FOR
        return now - ended_at >= SHOWN_FOR


def _named(facilities: list[str]) -> str:
    more = len(facilities) - NAMED
    return f"{', '.join(facilities[:NAMED])}{f' and {more} more' if more > 0 else ''} dropped out"
