"""The calls that a contract with a weather service allows, shared by all processes."""

from typing import Protocol

import msgspec


class QuotaUse(msgspec.Struct, frozen=True, kw_only=True):
    """The result of asking for one call."""

    allowed: bool
    retry_after_s: float = 0.0
    """Clock seconds until a call is allowed; 0 where one is allowed now."""
    used: int
    """Calls of this calendar month (UTC), including one that was just allowed."""
    quota: int
    """Calls a month that the contract allows."""
    shared: bool = True
    """Whether the calls of all processes were counted; False while the shared counter is unavailable."""

    @property
    def used_share(self) -> float:
        return self.used / self.quota


class WeatherQuota(Protocol):
    """A token bucket below the quota: never more calls in any 31 days than the quota allows."""

    async def take(self) -> QuotaUse:
        """Ask for one call, before every try. Never raises when an external system is unavailable."""
        ...

    async def usage(self) -> QuotaUse:
        """The use that `take` would return now, without taking a call. Never raises either."""
        ...
