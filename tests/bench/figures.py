"""A benchmark's result: one figure with its floor."""

from collections.abc import Sequence

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. `ratio` compares ours with the floor: 1.0 equals the floor, higher is better for any unit."""

    name: str
    unit: str
    ours: float
    floor: float
    ratio: float
    stock: float | None = None
    """The unchanged eventsourcing library in the same run; None if it has nothing comparable."""
    stock_ratio: float | None = None
    details: dict[str, float | str] = {}


def figure(
    name: str,
    *,
    unit: str,
    ours: float,
    floor: float,
    stock: float | None = None,
    lower_is_better: bool = False,
    details: dict[str, float | str] | None = None,
) -> Figure:
    """A figure with its ratios, rounded to four digits. `ours`, `floor` and `stock` are in `unit`."""
    return Figure(
        name=name,
        unit=unit,
        ours=_rounded(ours),
        floor=_rounded(floor),
        ratio=_ratio(ours, floor, lower_is_better),
        stock=None if stock is None else _rounded(stock),
        stock_ratio=None if stock is None else _ratio(stock, floor, lower_is_better),
        details=details or {},
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; 0 without values."""
    if not values:
        return 0.0
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-len(ranked) * percent // 100) - 1))]


def _ratio(measured: float, floor: float, lower_is_better: bool) -> float:
    if measured <= 0 or floor <= 0:
        raise ValueError(f"nothing was measured: {measured} against a floor of {floor}")
    return _rounded(floor / measured if lower_is_better else measured / floor)


def _rounded(value: float) -> float:
    """To four significant digits."""
    return float(f"{value:.4g}")
