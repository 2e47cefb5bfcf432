"""One alert as a worker sees it: on or off; the register is told of changes only, and never blocks the work."""

import asyncio

import structlog

from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock

_log = structlog.get_logger(__name__)


class AlertSwitch:
    """The alert `name` about `subject`. What the register says at the start is unknown, so it is told once."""

    def __init__(self, alerts: AlertRegistry, clock: Clock, name: str, subject: str) -> None:
        self._alerts = alerts
        self._clock = clock
        self._name = name
        self._subject = subject
        self._told: bool | None = None

    async def turn(self, *, on: bool, detail: str = "") -> None:
        """Raise or clear the alert. A register that is away is logged, and told at the next turn."""
        if self._told is on:
            return
        try:
            await asyncio.to_thread(self._tell, on, detail)
            self._told = on
        except Exception as error:  # noqa: BLE001 - an alert that cannot be raised must not stop what it is about
            _log.warning(
                "alert not recorded", alert=self._name, subject=self._subject, on=on, error=str(error)
            )

    def _tell(self, on: bool, detail: str) -> None:
        at = self._clock.now()
        if on:
            self._alerts.raise_alert(self._name, self._subject, detail, at=at)
        else:
            self._alerts.clear(self._name, self._subject, at=at)
