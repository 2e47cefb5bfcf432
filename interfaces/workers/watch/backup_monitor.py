"""BackupMonitor: states the alert `backup_too_old` while nobody has taken a backup of the database for a day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.periodic import PeriodicCheck

ALERT, SUBJECT = "backup_too_old", "database"
OLDEST = timedelta(hours=26)
"""Of a backup that is taken each day at about the same time. Wall time: a disk fails at no accelerated clock."""
CHECK_EVERY_S = 60.0
"""Wall seconds."""


@dataclass(frozen=True)
class BackupMonitor:
    """One is active per system, where a folder for backups is named."""

    newest: Callable[[], datetime | None]
    """When the newest backup was taken; None: there is none. Raises OSError."""
    wall_now: Callable[[], datetime]
    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        return PeriodicCheck(
            "backup monitor",
            partial(asyncio.to_thread, self.check),
            every_s=CHECK_EVERY_S,
            lock="backup-watch",
        )

    def check(self) -> None:
        """Raises OperationsUnavailable."""
        problem = self._problem()
        stated = {} if problem is None else {SUBJECT: problem}
        self.alerts.state(ALERT, stated, observer="backup monitor", at=self.clock.now())

    def _problem(self) -> str | None:
        try:
            newest = self.newest()
        except OSError as error:
            return f"the folder of backups cannot be read: {error}"
        if newest is None:
            return "there is no backup yet: gridproof backup"
        if self.wall_now() - newest > OLDEST:
            return f"the newest one is of {newest:%Y-%m-%d %H:%M}Z"
        return None
