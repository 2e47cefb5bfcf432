"""A token bucket that keeps a monthly quota in its worst month; pure."""

from __future__ import annotations

import msgspec

MONTH_S = 31 * 86_400.0
BURST_SHARE = 0.1
"""The share of the quota for bursts, such as a start with many cells."""


class BucketRule(msgspec.Struct, frozen=True, kw_only=True):
    """`capacity` at once and `per_s` from then on: `capacity + MONTH_S * per_s` is the quota."""

    capacity: float
    per_s: float

    @classmethod
    def under(cls, quota_per_month: int) -> BucketRule:
        capacity = max(1.0, quota_per_month * BURST_SHARE)
        return cls(capacity=capacity, per_s=max(0.0, quota_per_month - capacity) / MONTH_S)


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    tokens: float
    at_s: float
    """The time of `tokens`, in epoch seconds."""

    def filled(self, rule: BucketRule, now_s: float) -> Bucket:
        """The bucket at `now_s`; a clock that went back adds nothing."""
        elapsed_s = max(0.0, now_s - self.at_s)
        tokens = min(rule.capacity, self.tokens + elapsed_s * rule.per_s)
        return Bucket(tokens=tokens, at_s=max(now_s, self.at_s))

    def wait_s(self, rule: BucketRule) -> float:
        """Seconds until it holds one token; 0 where it does."""
        missing = max(0.0, 1.0 - self.tokens)
        return 0.0 if not missing else missing / rule.per_s if rule.per_s else MONTH_S
