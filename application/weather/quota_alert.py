"""Monitoring of the weather quota: the alert `weather_quota` from 80 % of the month's calls on."""

import asyncio

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.weather.quota import QuotaUse, WeatherQuota

_log = structlog.get_logger(__name__)
ALERT, SUBJECT = "weather_quota", "weather"
WARN_SHARE = 0.8
REFRESH_SHARE = 0.02
"""The open alert is refreshed each time so much more of the quota is used."""


class AlertingQuota:
    """Implements WeatherQuota. If the register of alerts is unavailable, the alert is retried at the next
    call."""

    def __init__(self, quota: WeatherQuota, alerts: AlertRegistry, clock: Clock) -> None:
        self._quota = quota
        self._alerts = alerts
        self._clock = clock
        self._reported_share: float | None = None
        """The last reported share; 0 where the alert is cleared, None at the start."""

    async def take(self) -> QuotaUse:
        use = await self._quota.take()
        if use.used_share < WARN_SHARE:
            if self._reported_share != 0.0:
                await self._update_alert(use, clear=True)
        elif not self._reported_share or abs(use.used_share - self._reported_share) >= REFRESH_SHARE:
            await self._update_alert(use, clear=False)
        return use

    async def usage(self) -> QuotaUse:
        return await self._quota.usage()

    async def _update_alert(self, use: QuotaUse, *, clear: bool) -> None:
        now = self._clock.now()
        try:
            if clear:
                await asyncio.to_thread(self._alerts.clear, ALERT, SUBJECT, at=now)
            else:
                detail = f"{use.used} of {use.quota} weather calls of {now:%B} are used"
                await asyncio.to_thread(self._alerts.raise_alert, ALERT, SUBJECT, detail, at=now)
        except OperationsUnavailable as error:
            _log.warning("weather quota alert not recorded", used=use.used, why=str(error))
            return
        self._reported_share = 0.0 if clear else use.used_share
