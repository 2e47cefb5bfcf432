"""BreakerAlerts: the alert `bms_breaker_open`, raised when a BMS's breaker opens, cleared when the BMS answers anyone.

Each dispatch process has breakers of its own, in memory. The process may die, or another may serve the facility from
then on; its breaker then never closes. So an answer to any process clears the alert.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry, every_open_alert

ALERT = "bms_breaker_open"
DETAIL = "its BMS timed out five times in a row; calls to it wait"
NO_ANSWER = frozenset({"BmsTimedOut", "ConnectTimedOut", "BmsUnreachable"})
"""Outcomes of a call to which the BMS gave no answer."""


@dataclass
class BreakerAlerts:
    """Of one dispatch process. `changed` and `call_ended` run on its event loop, `check` in a thread."""

    clock: Clock
    alerts: AlertRegistry
    _unreported: dict[str, datetime] = field(default_factory=dict)
    """Facility -> when its breaker opened."""
    _answered: dict[str, datetime] = field(default_factory=dict)
    """Facility -> when its BMS last answered."""
    _lock: Lock = field(default_factory=Lock)

    def changed(self, facility_id: str, state: str) -> None:
        with self._lock:
            if state == "opened":
                self._unreported[facility_id] = self.clock.now()

    def call_ended(self, facility_id: str, outcome: str) -> None:
        if outcome not in NO_ANSWER:
            with self._lock:
                self._answered[facility_id] = self.clock.now()
                self._unreported.pop(facility_id, None)  # it ended before the alert was raised

    def check(self) -> None:
        """Raise and clear the alerts. Raises OperationsUnavailable; the next check then does what is left."""
        with self._lock:
            unreported = dict(self._unreported)
        for facility_id, opened_at in unreported.items():
            self.alerts.raise_alert(ALERT, facility_id, DETAIL, at=opened_at)
            with self._lock:
                if self._unreported.get(facility_id) == opened_at:
                    del self._unreported[facility_id]
        with self._lock:
            answered = dict(self._answered)
        for alert in every_open_alert(self.alerts) if answered else ():
            at = answered.get(alert.subject)
            if alert.name == ALERT and at is not None and at > alert.last_seen_at:
                self.alerts.clear(ALERT, alert.subject, at=at)
