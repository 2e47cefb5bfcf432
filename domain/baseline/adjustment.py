"""The same-day adjustment: the metered load before the start, compared with the baseline of the same
intervals.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from msgspec.structs import replace

from domain.baseline.result import Adjustment
from domain.baseline.rules import AdjustmentRule
from domain.time_series.windows import FloatArray, TimeWindow


def adjustment_window(rule: AdjustmentRule, starts_at: datetime) -> TimeWindow:
    """The window whose load is compared, for a DR event that begins at `starts_at`."""
    begin = starts_at - timedelta(seconds=rule.starts_before_s)
    return TimeWindow(begin, starts_at - timedelta(seconds=rule.ends_before_s))


def adjustment_of(
    rule: AdjustmentRule, starts: Sequence[datetime], baseline_kw: FloatArray, metered_kw: FloatArray
) -> Adjustment:
    """The adjustment from the baseline and the meter at the intervals `starts` (both of shape (n,), kW).

    Intervals without a metered value are excluded from both means. If none has one, or if the baseline is not
    above zero, there is no adjustment (factor 1, difference 0), and the note says so.
    """
    if rule.kind == "none":
        return Adjustment(kind="none")
    present = ~np.isnan(metered_kw)
    missing = tuple(s for s, is_present in zip(starts, present, strict=True) if not is_present)
    neutral = 1.0 if rule.kind == "multiplicative" else 0.0
    values_kw = tuple(
        float(kw) if is_present else None for kw, is_present in zip(metered_kw, present, strict=True)
    )
    empty = Adjustment(kind=rule.kind, value=neutral, values_kw=values_kw, missing=missing)
    if not present.any():
        return replace(empty, note="no interval of the adjustment window was metered")
    base_kw, load_kw = float(np.mean(baseline_kw[present])), float(np.mean(metered_kw[present]))
    compared = replace(empty, baseline_kw=base_kw, metered_kw=load_kw)
    if rule.kind == "additive":
        return _clipped(compared, rule, raw=load_kw - base_kw, scale=abs(base_kw))
    if base_kw <= 0:
        return replace(compared, note="the baseline of the adjustment window is not above zero")
    return _clipped(compared, rule, raw=load_kw / base_kw, scale=1.0)


def adjusted(adjustment: Adjustment, baseline_kw: FloatArray) -> FloatArray:
    """`baseline_kw` times the factor, or plus the difference."""
    if adjustment.value is None:
        return baseline_kw
    if adjustment.kind == "multiplicative":
        return baseline_kw * adjustment.value
    return baseline_kw + adjustment.value


def _clipped(compared: Adjustment, rule: AdjustmentRule, *, raw: float, scale: float) -> Adjustment:
    neutral = 1.0 if rule.kind == "multiplicative" else 0.0
    value = raw
    if rule.cap is not None:
        value = min(max(value, neutral - rule.cap * scale), neutral + rule.cap * scale)
    if rule.upward_only:
        value = max(value, neutral)
    return replace(compared, value=value, raw=raw, clipped=value != raw)
