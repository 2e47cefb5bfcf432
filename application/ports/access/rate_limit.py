"""Rate limits: how often a key may call."""

from typing import Protocol

import msgspec


class RateDecision(msgspec.Struct, frozen=True):
    """The decision on one more call: allowed now, or the wall seconds until the next one is."""

    allowed: bool
    retry_after_s: float = 0.0


class RateLimiter(Protocol):
    """Counts calls by key; refused calls do not count."""

    @property
    def is_degraded(self) -> bool:
        """True if it counts in this process only, because the shared counter is unavailable."""
        ...

    async def hit(self, key: str) -> RateDecision:
        """Count a call of `key` if it is allowed. Never raises when an external system is unavailable."""
        ...
