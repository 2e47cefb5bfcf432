"""What those who watch are told that is not in the log: how many alerts are open, and that readings came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from application.ports.operations.alerts import Alert
from interfaces.web.broadcast.message import AlertName, LiveMessage, alert_message, telemetry_message


class UnloggedState:
    """What was told last of either, for one who has just come; and what a look has that was not told yet."""

    def __init__(self) -> None:
        self.telemetry = b""
        self.alerts = b""
        self._open: set[AlertName] | None = None
        self._stored_at: datetime | None = None

    def of_alerts(self, listed: Sequence[Alert]) -> LiveMessage | None:
        """None: the same are open as at the last look."""
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
        """None: none came since the last look."""
        if stored_at is None or stored_at == self._stored_at:
            return None
        self._stored_at = stored_at
        message = telemetry_message(stored_at)
        self.telemetry = message.data
        return message
