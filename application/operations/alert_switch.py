"""One alert as a worker sees it, on or off. Changes go to the register, which never blocks the work."""

import asyncio
from datetime import datetime

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry

_log = structlog.get_logger(__name__)

RAISE_AGAIN_S = 60.0
"""Wall seconds after which a raised alert is raised again, since another worker may have cleared it."""
ABANDONED_AFTER_S = 180.0
"""Wall seconds after which an open alert that no worker has raised again is cleared: its worker is gone."""


class AlertSwitch:
    """The alert `name` about `subject`. Several workers may have a switch for it, each for its own
    observations.

    The state in the register is unknown at the start, so it is written once.
    """

    def __init__(self, alerts: AlertRegistry, clock: Clock, name: str, subject: str) -> None:
        self._alerts = alerts
        self._clock = clock
        self._name = name
        self._subject = subject
        self._last_written: bool | None = None
        self._again_at = 0.0
        self._seen_at: datetime | None = None

    @property
    def is_on(self) -> bool:
        """The last state that was written to the register."""
        return self._last_written is True

    def forget(self) -> None:
        """Treat the state in the register as unknown again."""
        self._last_written = None

    async def turn(self, *, on: bool, detail: str = "") -> None:
        """Raise or clear the alert. If the register is unavailable, this is logged and repeated at the next
        call."""
        now = asyncio.get_running_loop().time()
        again = self._last_written is on
        if again and now < self._again_at:
            return
        self._again_at = now + (RAISE_AGAIN_S if on else ABANDONED_AFTER_S)
        try:
            await asyncio.to_thread(self._clear_if_abandoned if again and not on else self._write, on, detail)
            self._last_written = on
        except Exception as error:  # noqa: BLE001 - an alert that cannot be raised must not stop the work
            _log.warning(
                "alert not recorded", alert=self._name, subject=self._subject, on=on, error=str(error)
            )

    def _write(self, on: bool, detail: str) -> None:
        at = self._clock.now()
        if on:
            self._alerts.raise_alert(self._name, self._subject, detail, at=at)
        else:
            self._alerts.clear(self._name, self._subject, at=at)
        self._seen_at = None

    def _clear_if_abandoned(self, on: bool, detail: str) -> None:
        """Clear another worker's alert, if it has not been raised again since the last check."""
        mine = (alert for alert in self._alerts.open_about(self._subject) if alert.name == self._name)
        seen_at = next((alert.last_seen_at for alert in mine if alert.subject == self._subject), None)
        if seen_at is not None and seen_at == self._seen_at:
            _log.info(
                "clearing an alert that no worker raises any more", alert=self._name, subject=self._subject
            )
            self._write(on, detail)
        else:
            self._seen_at = seen_at
