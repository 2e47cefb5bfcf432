"""AlertExpiry: ends alerts that whoever raised them cannot end, since it is gone or only sees one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import get_args

import structlog

from application.operations.alert_catalogue import ALERTS
from application.ports.clock import Clock
from application.ports.operations.alerts import Alert, AlertRegistry, every_open_alert
from domain.dispatch import FINAL, DispatchStatus
from interfaces.workers.loops.periodic import PeriodicCheck
from projections.dispatch.projection import DispatchRow
from projections.queries.views import View

CHECK_EVERY_S = 10.0
"""Wall seconds: processes end and machines are lost in wall time, whatever the speed of the clock."""
UNDER_WAY = sorted({*get_args(DispatchStatus)} - FINAL)
IsOver = Callable[[Alert], bool]
_log = structlog.get_logger("schedule")


@dataclass(frozen=True)
class AlertExpiry:
    """One is active per system. `is_over`: name of an alert -> whether what it is about has ended."""

    alerts: AlertRegistry
    clock: Clock
    is_over: Mapping[str, IsOver]

    @property
    def periodic(self) -> PeriodicCheck:
        check = partial(asyncio.to_thread, self.check)
        return PeriodicCheck("alert expiry", check, every_s=CHECK_EVERY_S, lock="alert-expiry")

    def check(self) -> None:
        """Clear each open alert that is over, or that nothing has raised again for its `quiet_s`."""
        now = self.clock.now()
        for alert in every_open_alert(self.alerts):
            if self._has_ended(alert, now):
                _log.info("alert ended", alert=alert.name, subject=alert.subject)
                self.alerts.clear(alert.name, alert.subject, at=now)

    def _has_ended(self, alert: Alert, now: datetime) -> bool:
        definition, is_over = ALERTS.get(alert.name), self.is_over.get(alert.name)
        quiet_s = None if definition is None else definition.quiet_s
        unseen_s = self.clock.wall_seconds((now - alert.last_seen_at).total_seconds())
        return (quiet_s is not None and unseen_s >= quiet_s) or (is_over is not None and is_over(alert))


def no_dispatch_under_way(dispatches: View[DispatchRow]) -> IsOver:
    """Whether no dispatch of the alert's facility is under way: nothing is commanded there any more."""

    def is_over(alert: Alert) -> bool:
        return not any(
            dispatches.listed(filters={"facility_id": alert.subject, "status": status}, limit=1).rows
            for status in UNDER_WAY
        )

    return is_over
