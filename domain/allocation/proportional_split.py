"""How a total is split over limits: no share is above its limit, and together they take all that the limits allow."""

from collections.abc import Callable, Mapping
from math import fsum
from typing import Literal, get_args

AllocationRule = Literal["proportional", "equal", "largest-first"]
RULES: tuple[AllocationRule, ...] = get_args(AllocationRule)


def split(rule: AllocationRule, total_kw: float, limits_kw: Mapping[str, float]) -> dict[str, float]:
    """`total_kw` over the limits by `rule`; the shares sum to the total, or to the limits where those are less."""
    return _SPLITS[rule](total_kw, limits_kw)


def proportional(total_kw: float, limits_kw: Mapping[str, float]) -> dict[str, float]:
    """In proportion to the limits: as weight and cap are one number, one pass is the exact solution."""
    room_kw = fsum(limits_kw.values())
    if room_kw <= total_kw:
        return dict(limits_kw)
    return {key: min(limit_kw, total_kw * (limit_kw / room_kw)) for key, limit_kw in limits_kw.items()}


def equal(total_kw: float, limits_kw: Mapping[str, float]) -> dict[str, float]:
    """The same for each, as far as its limit goes; what a small one cannot take is shared by the others."""
    shares: dict[str, float] = {}
    left_kw, waiting = total_kw, len(limits_kw)
    for key, limit_kw in sorted(limits_kw.items(), key=lambda item: (item[1], item[0])):
        shares[key] = min(limit_kw, left_kw / waiting)
        left_kw, waiting = max(0.0, left_kw - shares[key]), waiting - 1
    return {key: shares[key] for key in limits_kw}


def largest_first(total_kw: float, limits_kw: Mapping[str, float]) -> dict[str, float]:
    """The largest gives all it can, then the next: as few as possible take part."""
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
