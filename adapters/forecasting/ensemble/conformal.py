"""Intervals from the errors of the last origins: rolling split-conformal, scaled by the hour and the kind of day.

An error is divided by the usual size of errors at its target's hour and kind of day. For each block of horizons,
the interval is that size times the finite-sample quantiles of the ratios (Lei et al., "Distribution-free predictive
inference for regression", JASA 113, 2018).
"""

from typing import NamedTuple

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, IntArray
from adapters.forecasting.models.residual_correction import BLOCK_OF, BLOCKS, HORIZON_H
from domain.time_series.windows import FloatArray

ORIGINS = 60
PLACES = 48
TAIL = 0.1
"""On each side: 80 % are between."""
LEAST_ERRORS = 24
NORMAL_QUANTILE = 1.2816
POOLED_ERRORS = 4.0
AGE_WIDENS_A_DAY = 0.05
"""Beyond two days after the last known hour, per day: RMSE was measured to grow by .18 at 72 h and .27 at 168 h."""


class Spread(NamedTuple):
    """The usual errors of a facility's forecasts."""

    scale_kw: FloatArray
    """Shape (facilities, 48): by hour of the day, working days first."""
    quantiles: FloatArray
    """Shape (facilities, blocks, 2), in units of the scale: at or below 0, and at or above it."""

    def error_interval(self, place: IntArray, age_h: int = 0) -> FloatArray:
        """Shape (2, facilities, n): the offsets from the middle, `place` (facilities, n) as of day_kind_hour.

        With the last `age_h` hours unknown, as for a horizon longer by that; never narrower than with all known.
        """
        result = self._scaled(place, age_h)
        return at_least_as_wide(result, self._scaled(place, 0)) if age_h else result

    def _scaled(self, place: IntArray, age_h: int) -> FloatArray:
        horizons = np.arange(1, place.shape[1] + 1) + age_h
        block = BLOCK_OF[np.minimum(horizons, HORIZON_H) - 1]
        wider = 1.0 + AGE_WIDENS_A_DAY * np.maximum(horizons - HORIZON_H, 0) / 24
        scale = np.take_along_axis(self.scale_kw, place, axis=1) * wider
        result: FloatArray = self.quantiles[:, block].transpose(2, 0, 1) * scale
        return result


def at_least_as_wide(errors_kw: FloatArray, full_kw: FloatArray) -> FloatArray:
    """Errors (2, facilities, 48) of a mode with less input, at least as wide as with full input.

    Where the weather has no influence, trials without it may be slightly better by chance.
    """
    return np.stack([np.minimum(errors_kw[0], full_kw[0]), np.maximum(errors_kw[1], full_kw[1])])


def last_day_coverage(load_kw: FloatArray) -> FloatArray:
    """The share of known hours of loads (facilities, hours): shape (facilities,)."""
    result: FloatArray = np.isfinite(load_kw[:, -HOURS_A_DAY:]).mean(axis=1)
    return result


def widened_by_gaps(kw: FloatArray, known: FloatArray, ages_h: IntArray) -> FloatArray:
    """Quantiles (3, facilities, hours), widened by the share of the last day that is unknown; `known`
    (facilities,).

    Except the hours since the last known one: the age of the data has widened the quantiles for those already.
    """
    wider = 1.0 + np.maximum(1.0 - known - ages_h / HOURS_A_DAY, 0.0)[:, None]
    low, middle, high = kw
    return np.stack([middle + (low - middle) * wider, middle, middle + (high - middle) * wider])


def fit_spread(errors_kw: FloatArray, place: IntArray, usual_kw: FloatArray) -> Spread:
    """The spread from errors (origins, facilities, 48), metered less forecast, NaN where not metered.

    `usual_kw` (facilities,) is the size of errors where there are none.
    """
    facilities = errors_kw.shape[1]
    known = np.isfinite(errors_kw)
    square = np.where(known, np.square(np.where(known, errors_kw, 0.0)), 0.0)
    overall = square.sum(axis=(0, 2)) / np.maximum(known.sum(axis=(0, 2)), 1)
    overall = np.where(known.any(axis=(0, 2)), overall, np.square(usual_kw)) + 1e-12
    at = (place + PLACES * np.arange(facilities)[:, None]).ravel()
    size = facilities * PLACES
    total = np.bincount(at, square.ravel(), size).reshape(facilities, PLACES)
    count = np.bincount(at, known.ravel(), size).reshape(facilities, PLACES)
    scale = np.sqrt((total + POOLED_ERRORS * overall[:, None]) / (count + POOLED_ERRORS))
    ratio = errors_kw / np.take_along_axis(
        np.broadcast_to(scale, (len(errors_kw), facilities, PLACES)), place, axis=2
    )
    blocks = [_quantiles(ratio[:, :, first - 1 : last]) for first, last in BLOCKS]
    return Spread(scale, np.stack(blocks, axis=1))


def _quantiles(ratio: FloatArray) -> FloatArray:
    """Shape (facilities, 2): the quantiles at TAIL and 1 - TAIL of new errors; those of the normal where few are
    known."""
    flat = np.sort(ratio.transpose(1, 0, 2).reshape(ratio.shape[1], -1), axis=1)  # NaN last
    count = np.isfinite(flat).sum(axis=1)
    if not flat.shape[1]:
        return np.tile([-NORMAL_QUANTILE, NORMAL_QUANTILE], (len(flat), 1))
    rank = np.ceil((count + 1) * (1.0 - TAIL)).astype(np.int64)
    upper_at, lower_at = np.minimum(rank, count) - 1, np.maximum(count - rank, 0)
    low, high = (
        np.take_along_axis(flat, np.maximum(at, 0)[:, None], axis=1)[:, 0] for at in (lower_at, upper_at)
    )
    few = count < LEAST_ERRORS
    return np.stack(
        [
            np.where(few, -NORMAL_QUANTILE, np.minimum(low, 0.0)),
            np.where(few, NORMAL_QUANTILE, np.maximum(high, 0.0)),
        ],
        axis=1,
    )
