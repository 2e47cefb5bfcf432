"""RestoreMonitor: states which buildings are not restored though they should be.

It reads what is recorded: the worker that called the building may be gone, and another one may call it next.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from domain.dispatch import UNDOING
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.dispatch.projection import DispatchRow
from projections.queries.views import View, all_rows

ALERT = "restore_failing"
CHECK_EVERY_S = 5.0
"""Clock seconds; at least LEAST_WALL_S on the wall."""
LEAST_WALL_S = 1.0
WITHOUT_SUCCESS = frozenset({"refused", "gave_up"})


@dataclass(frozen=True)
class RestoreMonitor:
    """One is active per system."""

    dispatches: View[DispatchRow]
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "restore monitor",
            partial(asyncio.to_thread, self.check),
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S)),
            lock="restore-watch",
        )

    def check(self) -> None:
        """Raises ReadModelsUnavailable or OperationsUnavailable."""
        failing = {
            f"{row.facility_id}/{zone_id}": row.restore_failure or "a restore of it has not succeeded"
            for status in sorted(UNDOING)
            for row in all_rows(self.dispatches, status=status)
            for zone_id in _failing_zones(row)
        }
        self.alerts.state(ALERT, failing, observer="restore monitor", at=self.clock.now())


def _failing_zones(row: DispatchRow) -> set[str]:
    """The zones that are not restored, and of which a restore was refused or has no known outcome, also while it is
    tried again."""
    tried = {
        record.command.zone_id
        for record in row.state.commands.values()
        if record.command.phase == "restore" and record.state in WITHOUT_SUCCESS
    }
    not_restored = set(row.state.not_restored_zones)
    return not_restored if row.restore_failure is not None else not_restored & tried
