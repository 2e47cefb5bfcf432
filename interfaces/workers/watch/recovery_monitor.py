"""RecoveryMonitor: pages when a DR event is still recovering long after its last restore ramp.

Some building is then neither restored nor known to have failed, and nothing else reports it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from domain.dispatch.restore import last_ramp_at
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.deadlines import RECOVERED_WITHIN, DeadlineRow
from projections.dispatch.projection import DispatchRow
from projections.queries.views import View, all_rows

ALERT = "dr_event_recovering_too_long"
LOCK = "recovery-watch"
CHECK_EVERY_S = 10.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 0.5
NAMED = 5
"""How many facilities an alert names."""


@dataclass(frozen=True)
class RecoveryMonitor:
    """One is active per system."""

    overdue: Callable[[datetime], list[DeadlineRow]]
    """The DR events that ended RECOVERED_WITHIN ago and are not over."""
    dispatches: View[DispatchRow]
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "recovery monitor",
            partial(asyncio.to_thread, self.check),
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S)),
            lock=LOCK,
        )

    def check(self) -> None:
        """State the alert for each DR event that recovers for too long."""
        now = self.clock.now()
        stuck = {str(row.dr_event_id): self._not_restored(row, now) for row in self.overdue(now)}
        stated = {dr_event_id: _detail(found) for dr_event_id, found in stuck.items() if found is not None}
        self.alerts.state(ALERT, stated, observer="recovery monitor", at=now)

    def _not_restored(self, row: DeadlineRow, now: datetime) -> list[str] | None:
        """The facilities that are not released yet; None while a restore ramp is not long enough past."""
        dispatches = list(all_rows(self.dispatches, dr_event_id=str(row.dr_event_id)))
        released_at = row.due_at - RECOVERED_WITHIN
        last = max((last_ramp_at(d.state, released_at=released_at) for d in dispatches), default=released_at)
        if now < last + RECOVERED_WITHIN:
            return None
        return sorted(d.facility_id for d in dispatches if not d.state.is_final)


def _detail(facilities: list[str]) -> str:
    if not facilities:
        return "every building is released, but the DR event is not completed: is the relay running?"
    more = len(facilities) - NAMED
    named = ", ".join(facilities[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"not restored: {named}"
