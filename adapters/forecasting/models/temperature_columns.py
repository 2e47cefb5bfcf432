"""The columns of the mean model beside the hours of the week: a level and a piecewise-linear temperature.

After the time-of-week-and-temperature model of LBNL (Mathieu et al., "Quantifying changes in building electricity
use, with application to demand response", IEEE Trans. Smart Grid 2(3), 2011): knots at the 20, 50 and 80 %
quantiles of the temperature, separately for occupied and other hours, and the temperature smoothed over a day.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOURS_A_WEEK, IntArray
from domain.time_series.windows import FloatArray

QUANTILES = (0.2, 0.5, 0.8)
PIECES = len(QUANTILES) + 1
DENSE = 1 + 2 * PIECES + 1
SMOOTHED_H = 24.0
LEAST_SHARE, MIN_HISTORY_H = 0.7, 35 * 24
"""The share and number of hours with known load whose temperature must be known; hours without it are left out."""
LEAST_SPAN_K = 2.0
KELVIN = 10.0
"""Columns are in tens of kelvin, so that the ridge has the same effect on each."""


class Climate(NamedTuple):
    """The parameters of each facility's columns."""

    knots_c: FloatArray
    """Shape (facilities, 3)."""
    occupied: FloatArray
    """Shape (facilities, 168), 1 where the facility is busy, else 0."""
    known: FloatArray
    """Shape (facilities,), 1 where enough temperatures are known, else 0."""

    def of(self, rows: IntArray | NDArray[np.bool_]) -> "Climate":
        return Climate(self.knots_c[rows], self.occupied[rows], self.known[rows])

    def put(self, rows: IntArray, own: "Climate") -> None:
        """Replace the climate of `rows` by `own`."""
        self.knots_c[rows], self.occupied[rows], self.known[rows] = own


def climate_of(week: IntArray, load_kw: FloatArray, temp_c: FloatArray) -> Climate:
    """The climate of a past, shapes (facilities, n)."""
    if not week.shape[1]:
        facilities = len(week)
        return Climate(
            np.zeros((facilities, len(QUANTILES))), np.zeros((facilities, HOURS_A_WEEK)), np.zeros(facilities)
        )
    count = np.isfinite(temp_c).sum(axis=1)
    ordered = np.sort(temp_c, axis=1)  # NaN last
    places = np.floor(np.array(QUANTILES) * np.maximum(count - 1, 0)[:, None]).astype(np.int64)
    knots = np.take_along_axis(ordered, places, axis=1)
    span = np.take_along_axis(ordered, np.maximum(count - 1, 0)[:, None], axis=1)[:, 0] - ordered[:, 0]
    usable = has_enough_temperatures(load_kw, temp_c) & (np.nan_to_num(span) >= LEAST_SPAN_K)
    return Climate(np.where(usable[:, None], knots, 0.0), _occupied(week, load_kw), usable.astype(np.float64))


def has_enough_temperatures(load_kw: FloatArray, temp_c: FloatArray) -> NDArray[np.bool_]:
    """True if enough temperatures of a past, shapes (facilities, n), are known to use them."""
    loaded = np.isfinite(load_kw)
    both, needed = (loaded & np.isfinite(temp_c)).sum(axis=1), LEAST_SHARE * loaded.sum(axis=1)
    result: NDArray[np.bool_] = (both > 0) & (both >= np.minimum(needed, MIN_HISTORY_H))
    return result


def columns(
    climate: Climate, week: IntArray, temp_c: FloatArray, smooth_c: FloatArray, *, level: bool = True
) -> FloatArray:
    """Shape (facilities, n, DENSE); zeros except the level where a facility's temperature is not used."""
    result = np.zeros((*week.shape, DENSE))
    result[:, :, 0] = 1.0 if level else 0.0
    occupied = np.take_along_axis(climate.occupied, week, axis=1)
    edges = np.pad(climate.knots_c, ((0, 0), (1, 1)), constant_values=((0, 0), (-np.inf, np.inf)))
    for piece in range(PIECES):
        start = climate.knots_c[:, max(piece - 1, 0)][:, None]
        part = np.clip(temp_c, edges[:, piece][:, None], edges[:, piece + 1][:, None]) - start
        part *= climate.known[:, None] / KELVIN
        result[:, :, 1 + piece] = part * occupied
        result[:, :, 1 + PIECES + piece] = part * (1.0 - occupied)
    result[:, :, -1] = (smooth_c - climate.knots_c[:, 1][:, None]) * climate.known[:, None] / KELVIN
    unused = np.flatnonzero(climate.known <= 0)
    result[unused] = np.nan_to_num(result[unused])
    return result


def smoothed(temp_c: FloatArray, before_c: FloatArray) -> FloatArray:
    """Exponentially smoothed over a day, starting from `before_c` (facilities,): the heat storage of a building.
    Shape of `temp_c`.

    Constant while the temperature is unknown.
    """
    result = np.empty_like(temp_c)
    known = np.isfinite(temp_c)
    all_known: list[bool] = np.all(known, axis=0).tolist()
    level = before_c
    is_begun = bool(np.isfinite(level).all())
    for hour in range(temp_c.shape[1]):
        now = temp_c[:, hour]
        moved = level + (now - level) / SMOOTHED_H
        if not is_begun:
            moved = np.where(np.isfinite(level), moved, now)
        level = moved if all_known[hour] else np.where(known[:, hour], moved, level)
        is_begun = is_begun or (all_known[hour] and bool(np.isfinite(level).all()))
        result[:, hour] = level
    return result


def forward_filled(values: FloatArray, most: int | None = None) -> FloatArray:
    """Gaps filled with the last known value before them, for at most `most` steps (None: unlimited)."""
    places = np.arange(values.shape[1])
    last = np.maximum.accumulate(np.where(np.isfinite(values), places, 0), axis=1)
    result = np.take_along_axis(values, last, axis=1)
    return result if most is None else np.where(places - last <= most, result, np.nan)


def _occupied(week: IntArray, load_kw: FloatArray) -> FloatArray:
    """The hours of the week whose mean load is in the upper half of its range."""
    known = np.isfinite(load_kw)
    facilities, size = len(week), len(week) * HOURS_A_WEEK
    place = (week + HOURS_A_WEEK * np.arange(facilities)[:, None])[known]
    count = np.bincount(place, minlength=size).reshape(facilities, HOURS_A_WEEK)
    total = np.bincount(place, load_kw[known], size).reshape(facilities, HOURS_A_WEEK)
    mean = total / np.maximum(count, 1)
    low, high = np.quantile(mean, [0.1, 0.9], axis=1)
    result: FloatArray = (mean > ((low + high) / 2)[:, None]) * 1.0
    return result
