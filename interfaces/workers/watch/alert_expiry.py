"""AlertExpiry: ends the alerts whose observers are gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.loops.periodic import PeriodicCheck

CHECK_EVERY_S = 10.0
"""Wall seconds: processes end and machines are lost in wall time, whatever the speed of the clock."""
_log = structlog.get_logger("watch")


@dataclass(frozen=True)
class AlertExpiry:
    """One is active per system."""

    alerts: AlertRegistry
    clock: Clock

    @property
    def periodic(self) -> PeriodicCheck:
        check = partial(asyncio.to_thread, self.check)
        return PeriodicCheck("alert expiry", check, every_s=CHECK_EVERY_S, lock="alert-expiry")

    def check(self) -> None:
        """Raises OperationsUnavailable."""
        for alert in self.alerts.end_unseen(at=self.clock.now()):
            _log.info("nobody states an alert any more", alert=alert.name, subject=alert.subject)
