"""BreakerAlerts: states the alert `bms_breaker_open` for the breakers of one dispatch process."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.observer import this_process

ALERT = "bms_breaker_open"
DETAIL = "its BMS timed out five times in a row; calls to it wait"
USED_FOR = timedelta(hours=1)
"""An open breaker that was last used so long ago says nothing of its BMS: another process calls it, or nobody."""


@dataclass
class BreakerAlerts:
    """Of one dispatch process. `changed` and `call_ended` run on its event loop, `check` in a thread.

    Each process has breakers of its own, in memory. One that dies has none any more, which its silence says.
    """

    clock: Clock
    alerts: AlertRegistry
    observer: str = field(default_factory=this_process)
    _used_at: dict[str, datetime] = field(default_factory=dict)
    """Facility -> when its breaker, which is not closed, was last used."""
    _lock: Lock = field(default_factory=Lock)

    def changed(self, facility_id: str, state: str) -> None:
        with self._lock:
            if state == "closed":
                self._used_at.pop(facility_id, None)
            else:
                self._used_at[facility_id] = self.clock.now()

    def call_ended(self, facility_id: str) -> None:
        with self._lock:
            if facility_id in self._used_at:
                self._used_at[facility_id] = self.clock.now()

    def check(self) -> None:
        """Raises OperationsUnavailable."""
        now = self.clock.now()
        with self._lock:
            stated = {one: DETAIL for one, used_at in self._used_at.items() if now - used_at < USED_FOR}
        self.alerts.state(ALERT, stated, observer=self.observer, at=now)
