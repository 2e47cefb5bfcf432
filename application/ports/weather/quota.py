"""The calls that a contract with a weather service allows, shared by all processes."""

from typing import Protocol

import msgspec


class QuotaUse(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for one call."""

    allowed: bool
    retry_after_s: float = 0.0
    """Clock seconds until one will be allowed; 0 where it is."""
    used: int
    """Calls of this calendar month (UTC), one that was allowed just now among them."""
    quota: int
    """Calls a month that the contract allows."""
    shared: bool = True
    """Whether all processes were counted; False while what they share is down."""

    @property
    def used_share(self) -> float:
        return self.used / self.quota


class WeatherQuota(Protocol):
    """A token bucket below the quota: never more calls in any 31 days than it allows."""

    async def take(self) -> QuotaUse:
        """Ask for one call, before every try. Never raises for an outside system that is down."""
        ...

    async def standing(self) -> QuotaUse:
        """What `take` would say now, without taking anything; likewise never raises."""
        ...
