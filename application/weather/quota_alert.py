"""Monitoring of the weather quota: the alert `weather_quota` from 80 % of the month's calls on."""

import asyncio
from functools import partial

import structlog

from application.ports.clock import Clock
from application.ports.operations.alerts import UNTIL_RESTATED, AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.weather.quota import QuotaUse, WeatherQuota

_log = structlog.get_logger(__name__)
ALERT, SUBJECT = "weather_quota", "weather"
WARN_SHARE = 0.8


class AlertingQuota:
    """Implements WeatherQuota. All processes share the quota, so what the last call of any of them showed holds."""

    def __init__(self, quota: WeatherQuota, alerts: AlertRegistry, clock: Clock) -> None:
        self._quota = quota
        self._alerts = alerts
        self._clock = clock

    async def take(self) -> QuotaUse:
        use = await self._quota.take()
        now = self._clock.now()
        detail = f"{use.used} of {use.quota} weather calls of {now:%B} are used"
        state = partial(
            self._alerts.state,
            ALERT,
            {SUBJECT: detail} if use.used_share >= WARN_SHARE else {},
            observer="weather quota",
            at=now,
            holds_s=UNTIL_RESTATED,
        )
        try:
            await asyncio.to_thread(state)
        except OperationsUnavailable as error:
            _log.warning("weather quota alert not recorded", used=use.used, why=str(error))
        return use

    async def usage(self) -> QuotaUse:
        return await self._quota.usage()
