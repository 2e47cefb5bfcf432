"""Corrects the mean model by its recent residuals.

For each block of horizons, a ridge regression of the residual on eight features of the residuals before the origin.
The residuals are out of sample: each is that of a mean model that was not fitted to its day.
"""

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, HOURS_A_WEEK, IntArray
from domain.time_series.windows import FloatArray

HORIZON_H = 48
BLOCKS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 24), (25, 36), (37, 48))
FEATURES = 8
WINDOW_H = 4 * HOURS_A_WEEK
"""The window of the features."""
WEEKS = 13
"""The number of weeks of origins to which a correction is fitted."""
RIDGE_ROWS = 60.0
"""The weight of the ridge, in hours of average features."""
LONG_BLOCK, LONG_BLOCK_EVERY = 8, 5
"""Blocks of this length use every fifth origin only: neighbours add little information."""

BLOCK_OF = np.concatenate([np.full(last - first + 1, i) for i, (first, last) in enumerate(BLOCKS)])
"""The block of each horizon of 1 .. 48 h, shape (48,)."""


def features(residual_kw: FloatArray, origins: IntArray, horizons: IntArray) -> FloatArray:
    """Shape (series, n, FEATURES), of residuals (series, hours) with NaN where unknown.

    `origins` (n,), or (1,) for one that all share, are the indices of the first hours not known, `horizons` (n,) the
    hours from there to the target's end, 1 or more. Unknown residuals count as 0, and the means are those of the known
    ones.
    """
    # Sums over the hours of a mean, not over the weeks before them.
    start = max(int(origins.min()) - HOURS_A_WEEK, 0)
    recent = residual_kw[:, start : int(origins.max())]
    known = np.isfinite(recent)
    shape = (len(recent), recent.shape[1] + 1)
    total, count = np.zeros(shape, dtype=recent.dtype), np.arange(shape[1], dtype=np.int32)[None]
    if not known.all():
        recent, count = np.where(known, recent, 0.0), np.zeros(shape, dtype=np.int32)
        np.cumsum(known, axis=1, out=count[:, 1:])
    np.cumsum(recent, axis=1, out=total[:, 1:])
    target = origins + horizons - 1
    yesterday = target - HOURS_A_DAY * -(-horizons // HOURS_A_DAY)
    last_week = target - HOURS_A_WEEK * -(-horizons // HOURS_A_WEEK)

    def at(index: IntArray) -> FloatArray:
        result = residual_kw.take(np.maximum(index, 0), axis=1)
        return np.where((index >= 0) & np.isfinite(result), result, 0.0)

    def mean_before(hours: int) -> FloatArray:
        end, begin = origins - start, np.maximum(origins - hours, 0) - start
        result: FloatArray = (total[:, end] - total[:, begin]) / np.maximum(
            count[:, end] - count[:, begin], 1
        )
        return result

    weeks = [at(last_week - HOURS_A_WEEK * back) for back in range(4)]
    result = np.empty((len(residual_kw), len(horizons), FEATURES))
    result[:, :, 0] = at(origins - 1)
    for place, hours in enumerate((3, HOURS_A_DAY, HOURS_A_WEEK), 1):
        result[:, :, place] = mean_before(hours)
    result[:, :, 4] = at(yesterday)
    result[:, :, 5] = (at(yesterday - HOURS_A_DAY) + at(yesterday - 2 * HOURS_A_DAY)) / 2
    result[:, :, 6] = weeks[0]
    result[:, :, 7] = (weeks[0] + weeks[1] + weeks[2] + weeks[3]) / 4
    return result


class CorrectionFit:
    """The regressions of many series, stored as normal equations for each week of origins."""

    def __init__(self) -> None:
        self._weeks: list[tuple[FloatArray, FloatArray]] = []

    def add_week(self, residual_kw: FloatArray) -> None:
        """Add the origins of one week: shape (series, WINDOW_H + 168 + HORIZON_H), the first of them at WINDOW_H."""
        grams, sides = [], []
        for first, last in BLOCKS:
            every = LONG_BLOCK_EVERY if last - first + 1 >= LONG_BLOCK else 1
            origins, horizons = (
                grid.ravel()
                for grid in np.meshgrid(
                    WINDOW_H + np.arange(0, HOURS_A_WEEK, every), np.arange(first, last + 1)
                )
            )
            target = residual_kw[:, origins + horizons - 1]
            known = np.isfinite(target)
            inputs = features(residual_kw, origins, horizons) * known[:, :, None]
            turned = inputs.transpose(0, 2, 1)
            grams.append(np.matmul(turned, inputs) * every)
            sides.append(np.matmul(turned, np.where(known, target, 0.0)[:, :, None])[:, :, 0] * every)
        self._weeks.append((np.stack(grams, axis=1), np.stack(sides, axis=1)))
        del self._weeks[:-WEEKS]

    def weights(self, series: int) -> FloatArray:
        """Shape (series, blocks, FEATURES); zeros before the first week."""
        if not self._weeks:
            return np.zeros((series, len(BLOCKS), FEATURES))
        gram = np.sum([gram for gram, _ in self._weeks], axis=0)
        side = np.sum([side for _, side in self._weeks], axis=0)
        rows = HOURS_A_WEEK * len(self._weeks) * np.array([last - first + 1 for first, last in BLOCKS])
        usual = np.trace(gram, axis1=2, axis2=3) / FEATURES / rows
        ridge = np.maximum(RIDGE_ROWS * np.sqrt(rows / rows[0]) * usual, 1e-9)
        result: FloatArray = np.linalg.solve(
            gram + ridge[:, :, None, None] * np.eye(FEATURES), side[..., None]
        )[..., 0]
        return result


def corrections(
    weights: FloatArray, residual_kw: FloatArray, age_h: int, hours: int = HORIZON_H
) -> FloatArray:
    """Shape (series, hours): what to add to the mean of the hours after the end of `residual_kw`, of which the last
    `age_h` are unknown. Beyond 48 h after the last known hour, the last block's weights are used."""
    origin = residual_kw.shape[1] - age_h
    horizons = np.arange(1, hours + 1) + age_h
    inputs = features(residual_kw, np.array([origin]), horizons)
    block = BLOCK_OF[np.minimum(horizons, HORIZON_H) - 1]
    result = np.empty(inputs.shape[:2])
    for number in np.unique(block).tolist():
        own = slice(*np.searchsorted(block, (number, number + 1)).tolist())
        np.einsum("snf,sf->sn", inputs[:, own], weights[:, number], out=result[:, own])
    return result
