"""State of the live feed that is not in the log: open alerts, and the arrival of readings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from application.ports.operations.alerts import Alert
from interfaces.web.broadcast.message import AlertName, LiveMessage, alert_message, telemetry_message


class UnloggedState:
    """Keeps the last message of each for new subscribers, and finds what has changed since."""

    def __init__(self) -> None:
        self.telemetry = b""
        self.alerts = b""
        self._open: set[AlertName] | None = None
        self._stored_at: datetime | None = None

    def of_alerts(self, listed: Sequence[Alert]) -> LiveMessage | None:
        """The message to publish; None if the same alerts are open as before."""
        now_open = {AlertName(alert.name, alert.subject) for alert in listed}
        before, self._open = self._open, now_open
        summary = alert_message(len(now_open), (), ())
        self.alerts = summary.data
        if before is None:
            return summary
        if before == now_open:
            return None
        return alert_message(len(now_open), sorted(now_open - before), sorted(before - now_open))

    def of_readings(self, stored_at: datetime | None) -> LiveMessage | None:
        """The message to publish; None if none arrived since the last call."""
        if stored_at is None or stored_at == self._stored_at:
            return None
        self._stored_at = stored_at
        message = telemetry_message(stored_at)
        self.telemetry = message.data
        return message
