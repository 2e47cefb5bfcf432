"""Rate limits: how often a key may call."""

from typing import Protocol

import msgspec


class RateDecision(msgspec.Struct, frozen=True):
    """Whether one more call is allowed now; if not, the wall seconds until the next one is."""

    allowed: bool
    retry_after_s: float = 0.0


class RateLimiter(Protocol):
    """Counts calls by key; refused calls do not count."""

    @property
    def is_degraded(self) -> bool:
        """Whether it counts in this process only, because the shared counter is unavailable."""
        ...

    async def hit(self, key: str) -> RateDecision:
        """Count a call of `key` if it is allowed. Never raises when an external system is unavailable."""
        ...
