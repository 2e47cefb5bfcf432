"""Which BMS is left alone: told when a breaker opens, over once anybody had an answer of that BMS.

Breakers are in the memory of one dispatch process each. Where that one dies, or another serves the facility from now
on, its breaker never closes: so the answer that ends the alert may be any process's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from application.operations.open_items import every_open_alert
from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry

ALERT = "bms_breaker_open"
DETAIL = "its BMS timed out five times in a row; calls to it wait"
NO_ANSWER = frozenset({"BmsTimedOut", "ConnectTimedOut", "BmsUnreachable"})
"""Outcomes of a call that say nothing of a BMS that answers."""


@dataclass
class BreakerAlerts:
    """Of one dispatch process. Told on its event loop, looks in a thread."""

    clock: Clock
    alerts: AlertRegistry
    _untold: dict[str, datetime] = field(default_factory=dict)
    """Facility -> when its breaker opened."""
    _answered: dict[str, datetime] = field(default_factory=dict)
    """Facility -> when its BMS last answered."""
    _lock: Lock = field(default_factory=Lock)

    def changed(self, facility_id: str, state: str) -> None:
        with self._lock:
            if state == "opened":
                self._untold[facility_id] = self.clock.now()

    def call_ended(self, facility_id: str, outcome: str) -> None:
        if outcome not in NO_ANSWER:
            with self._lock:
                self._answered[facility_id] = self.clock.now()
                self._untold.pop(facility_id, None)  # it is over before anybody was told

    def look(self) -> None:
        """Raises OperationsUnavailable: what could not be told is told at the next look."""
        with self._lock:
            untold = dict(self._untold)
        for facility_id, opened_at in untold.items():
            self.alerts.raise_alert(ALERT, facility_id, DETAIL, at=opened_at)
            with self._lock:
                if self._untold.get(facility_id) == opened_at:
                    del self._untold[facility_id]
        with self._lock:
            answered = dict(self._answered)
        for alert in every_open_alert(self.alerts) if answered else ():
            at = answered.get(alert.subject)
            if alert.name == ALERT and at is not None and at > alert.last_seen_at:
                self.alerts.clear(ALERT, alert.subject, at=at)
