"""The allowance of a token bucket that keeps a monthly quota in its worst month."""

from application.access.token_bucket import Allowance

MONTH_S = 31 * 86_400.0
BURST_SHARE = 0.1
"""The share of the quota for bursts, such as a start with many cells."""


def monthly_allowance(quota: int) -> Allowance:
    """`quota`: calls in any 31 days. What is allowed at once and what a month adds make it up together."""
    at_once = max(1.0, quota * BURST_SHARE)
    return Allowance(at_once, max(0.0, quota - at_once) / MONTH_S)
