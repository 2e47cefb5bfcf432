"""The alert before the weather quota is used up."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.weather.quota import QuotaUse
from application.weather.quota_alert import AlertingQuota
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry

NOW = datetime(2026, 7, 14, tzinfo=UTC)


class FakeQuota:
    """A quota of 1,000 calls with a use that the test sets."""

    used = 0

    async def take(self) -> QuotaUse:
        return await self.usage()

    async def usage(self) -> QuotaUse:
        return QuotaUse(allowed=True, used=self.used, quota=1_000)


class Away(FakeAlertRegistry):
    away = True

    def state(self, *stated: Any, **fields: Any) -> None:
        if self.away:
            raise OperationsUnavailable("away")
        super().state(*stated, **fields)


def open_alerts(
    quota: AlertingQuota, quota_use: FakeQuota, alerts: FakeAlertRegistry, used: int
) -> list[str]:
    quota_use.used = used
    asyncio.run(quota.take())
    return [alert.detail for alert in alerts.listed()]


def test_the_alert_is_raised_from_80_percent_on_and_cleared_in_the_next_month() -> None:
    quota_use, alerts = FakeQuota(), FakeAlertRegistry()
    quota = AlertingQuota(quota_use, alerts, FakeClock(NOW))
    assert open_alerts(quota, quota_use, alerts, 799) == []
    assert open_alerts(quota, quota_use, alerts, 800) == ["800 of 1000 weather calls of July are used"]
    assert open_alerts(quota, quota_use, alerts, 801) == ["801 of 1000 weather calls of July are used"]
    assert open_alerts(quota, quota_use, alerts, 830) == ["830 of 1000 weather calls of July are used"]
    assert open_alerts(quota, quota_use, alerts, 1) == []


def test_an_unavailable_register_is_retried_at_the_next_call() -> None:
    quota_use, alerts = FakeQuota(), Away()
    quota = AlertingQuota(quota_use, alerts, FakeClock(NOW))
    assert open_alerts(quota, quota_use, alerts, 900) == []
    alerts.away = False
    assert open_alerts(quota, quota_use, alerts, 901) == ["901 of 1000 weather calls of July are used"]


def test_a_process_that_starts_in_a_new_month_clears_an_open_alert_of_another() -> None:
    quota_use, alerts = FakeQuota(), FakeAlertRegistry()
    in_june = AlertingQuota(quota_use, alerts, FakeClock(NOW - timedelta(days=20)))
    assert len(open_alerts(in_june, quota_use, alerts, 900)) == 1
    assert open_alerts(AlertingQuota(quota_use, alerts, FakeClock(NOW)), quota_use, alerts, 1) == []
