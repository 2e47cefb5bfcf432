"""The pattern of load within its hours: the difference of each quarter from its hour, and its deviation."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOUR_S, IntArray, day_kind_hour
from adapters.forecasting.data.hourly import QUARTER_S, means
from adapters.forecasting.ensemble.conformal import NORMAL_QUANTILE, PLACES
from adapters.forecasting.ensemble.parameters import QUARTERS_A_DAY
from domain.time_series.windows import FloatArray

QUARTERS = HOUR_S // QUARTER_S
SHRINKAGE = 4.0
"""In hours."""


class StepShape(NamedTuple):
    """Each quarter less its hour; zeros where only hours are known."""

    pattern_kw: FloatArray
    """Shrunken means by quarter of the day and kind of day, shape (facilities, 192)."""
    noise_kw: FloatArray
    """The root mean square of the rest, by hour and kind of day, shape (facilities, 48)."""

    def row(self, row: int) -> "StepShape":
        return StepShape(self.pattern_kw[row : row + 1], self.noise_kw[row : row + 1])


def within_hour(quarters_kw: FloatArray, week: IntArray) -> StepShape:
    """`quarters_kw` has shape (facilities, hours, 4), NaN where unknown; `week` (facilities, hours)."""
    facilities = len(quarters_kw)
    complete = np.asarray(np.isfinite(quarters_kw).all(axis=2))
    apart: FloatArray = np.where(complete[:, :, None], quarters_kw - means(quarters_kw)[:, :, None], 0.0)
    weight = np.repeat(complete[:, :, None], QUARTERS, axis=2) * 1.0
    place = quarter_places(week)
    pattern = _sums(place, apart, 2 * QUARTERS_A_DAY) / (_sums(place, weight, 2 * QUARTERS_A_DAY) + SHRINKAGE)
    pattern_of_hours = np.take_along_axis(pattern, place.reshape(facilities, -1), axis=1).reshape(apart.shape)
    square: FloatArray = np.square(apart - pattern_of_hours) * weight
    hour = np.repeat(day_kind_hour(week)[:, :, None], QUARTERS, axis=2)
    noise = np.sqrt(_sums(hour, square, PLACES) / np.maximum(_sums(hour, weight, PLACES), 1.0))
    return StepShape(pattern, noise)


def quarter_places(week: IntArray) -> IntArray:
    """0..95 on working days, 96..191 on others, of the quarters of each hour of the week: shape (..., 4)."""
    result: IntArray = day_kind_hour(week)[..., None] * QUARTERS + np.arange(QUARTERS)
    return result


def in_steps(
    shape: StepShape,
    by_hour_kw: FloatArray,
    mean_kw: FloatArray,
    week: IntArray,
    *,
    phase: float,
    step_s: int,
) -> FloatArray:
    """Convert quantiles of hours from the origin on, (3, facilities, hours), to those of steps, (3, facilities, n).

    `mean_kw` and `week` (facilities, hours + 1) are of the clock hours from that of the origin on. A step differs
    from its hour by the pattern, and its interval is wider by the deviation of quarters from their hours.
    """
    if step_s >= HOUR_S:
        return by_hour_kw
    size = max(step_s, QUARTER_S)
    parts, hours = HOUR_S // size, by_hour_kw.shape[2]
    offset_s = round(phase * HOUR_S) + size * np.arange(parts * hours)
    clock_hour, quarter = offset_s // HOUR_S, offset_s % HOUR_S // QUARTER_S
    step_mean = mean_kw[:, clock_hour]
    places = day_kind_hour(week)[:, clock_hour] * QUARTERS + quarter
    if size == QUARTER_S:
        step_mean = step_mean + np.take_along_axis(shape.pattern_kw, places, axis=1)
    of_hours = step_mean.reshape(len(step_mean), hours, parts)
    apart = (of_hours - of_hours.mean(axis=2, keepdims=True)).reshape(step_mean.shape)
    noise = NORMAL_QUANTILE * np.take_along_axis(shape.noise_kw, places // QUARTERS, axis=1)
    low, middle, high = np.repeat(by_hour_kw, parts, axis=2)
    result = np.stack(
        [
            middle + apart - np.hypot(middle - low, noise),
            middle + apart,
            middle + apart + np.hypot(high - middle, noise),
        ]
    )
    return np.repeat(result, size // step_s, axis=2)


def _sums(place: IntArray, values: NDArray[np.floating[Any]], size: int) -> FloatArray:
    facilities = len(place)
    flat = place.reshape(facilities, -1) + size * np.arange(facilities)[:, None]
    sums: FloatArray = np.bincount(flat.ravel(), values.ravel(), facilities * size).astype(np.float64)
    return sums.reshape(facilities, size)
