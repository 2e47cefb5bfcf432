"""Rules that divide a total over limits. No share exceeds its limit, and the shares use up all that the
limits allow.
"""

from collections.abc import Callable, Mapping
from math import fsum
from typing import Literal, get_args

AllocationRule = Literal["proportional", "equal", "largest-first"]
RULES: tuple[AllocationRule, ...] = get_args(AllocationRule)


def split(rule: AllocationRule, total_kw: float, limits_kw: Mapping[str, float]) -> dict[str, float]:
    """Divide `total_kw` over the limits by `rule`. The shares sum to the total, or to the limits if those are
    less.
    """
    return _SPLITS[rule](total_kw, limits_kw)


def proportional(total_kw: float, limits_kw: Mapping[str, float]) -> dict[str, float]:
    """Divide in proportion to the limits. Weight and cap are the same number, so one pass is exact."""
    room_kw = fsum(limits_kw.values())
    if room_kw <= total_kw:
        return dict(limits_kw)
    return {key: min(limit_kw, total_kw * (limit_kw / room_kw)) for key, limit_kw in limits_kw.items()}


def equal(total_kw: float, limits_kw: Mapping[str, float]) -> dict[str, float]:
    """Give each the same share, up to its limit; the others divide what a small limit cannot take."""
    shares: dict[str, float] = {}
    left_kw, waiting = total_kw, len(limits_kw)
    for key, limit_kw in sorted(limits_kw.items(), key=lambda item: (item[1], item[0])):
        shares[key] = min(limit_kw, left_kw / waiting)
        left_kw, waiting = max(0.0, left_kw - shares[key]), waiting - 1
    return {key: shares[key] for key in limits_kw}


def largest_first(total_kw: float, limits_kw: Mapping[str, float]) -> dict[str, float]:
    """Use the largest limit first, then the next, so that as few as possible take part."""
    shares: dict[str, float] = {}
    left_kw = total_kw
    for key, limit_kw in sorted(limits_kw.items(), key=lambda item: (-item[1], item[0])):
        shares[key] = min(limit_kw, left_kw)
        left_kw -= shares[key]
    return {key: shares[key] for key in limits_kw}


_SPLITS: dict[AllocationRule, Callable[[float, Mapping[str, float]], dict[str, float]]] = {
    "proportional": proportional,
    "equal": equal,
    "largest-first": largest_first,
}
