"""A weather quota in memory; it passes the contract suite of the shared one."""

from msgspec.structs import replace

from application.ports.weather.quota import QuotaUse
from application.weather.monthly_allowance import monthly_allowance


class FakeWeatherQuota:
    """Allows a burst and nothing more: its clock stands still."""

    def __init__(self, quota_per_month: int) -> None:
        self.quota = quota_per_month
        self.used = 0

    async def take(self) -> QuotaUse:
        use = await self.usage()
        self.used += use.allowed
        return replace(use, used=self.used)

    async def usage(self) -> QuotaUse:
        allowance = monthly_allowance(self.quota)
        allowed = self.used + 1 <= allowance.at_once
        wait_s = 0.0 if allowed else 1 / allowance.per_s
        return QuotaUse(allowed=allowed, retry_after_s=wait_s, used=self.used, quota=self.quota)
