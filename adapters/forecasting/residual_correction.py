"""What the mean model lately got wrong says what it is about to get wrong.

Per block of horizons a ridge regression of the residual on seven features of the residuals before the origin;
the spread of what is then left, relative to its usual size at that hour of the day, gives the quantiles.
"""

import msgspec
import numpy as np

from adapters.forecasting.hours import IntArray
from domain.time_windows import FloatArray

HORIZONS_H = 48
BLOCKS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 24), (25, 36), (37, 48))
FEATURES = 7
WEEK_H = 168
LEAST_ORIGINS_H = 7 * 24
RIDGE = 0.02
TRAINED_ON_H = 90 * 24
WIDENING = 1.1
"""The errors come from the hours that the correction was fitted to; new ones are larger by about this."""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """Per block of horizons: the weight of each feature, and the quantiles of the error in units of `scale_kw`."""

    weights: list[list[float]]
    quantiles: list[tuple[float, float, float]]
    scale_kw: list[float]
    """The usual size of the error by hour of the day, on working days and then on weekends: 48 values."""


def fit_correction(hour_of_week: IntArray, residual_kw: FloatArray) -> Correction:
    """From hourly residuals in order of time, shape (hours,), NaN where unknown."""
    residual = residual_kw[-TRAINED_ON_H:]
    place = day_hour(hour_of_week[-TRAINED_ON_H:])
    scale = _scale(place, residual)
    weights, quantiles = [], []
    for first, last in BLOCKS:
        inputs, errors, sizes = _examples(residual, scale[place], range(first, last + 1))
        coefficients = _ridge(inputs, errors) if len(errors) >= LEAST_ORIGINS_H else np.zeros(FEATURES)
        left = (errors - inputs @ coefficients) / sizes
        weights.append(coefficients.tolist())
        quantiles.append(_quantiles(left))
    return Correction(weights=weights, quantiles=quantiles, scale_kw=scale.tolist())


def corrections(correction: Correction, residual_kw: FloatArray, hours: int) -> FloatArray:
    """The correction (kW) of each of the `hours` (up to 48) after the residuals' end."""
    found = np.zeros(hours)
    for (first, last), weights in zip(BLOCKS, correction.weights, strict=True):
        for horizon in range(first, min(last, hours) + 1):
            features = _features(residual_kw, np.array([len(residual_kw)]), horizon)
            found[horizon - 1] = float(features[0] @ np.array(weights))
    return found


def spread(correction: Correction, hour_of_week: IntArray) -> FloatArray:
    """The 10, 50 and 90 % quantiles of the error (kW) of consecutive hours after the origin, shape (3, hours)."""
    scale = np.array(correction.scale_kw)[day_hour(hour_of_week)]
    found = np.empty((3, len(scale)))
    for (first, last), quantiles in zip(BLOCKS, correction.quantiles, strict=True):
        block = slice(first - 1, last)
        found[:, block] = np.outer(quantiles, scale[block])
    return found


def day_hour(hour_of_week: IntArray) -> IntArray:
    """0..23 on working days, 24..47 on weekends."""
    weekend = hour_of_week >= 5 * 24
    place: IntArray = hour_of_week % 24 + 24 * weekend
    return place


def _examples(
    residual: FloatArray, size: FloatArray, horizons: range
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Features, residuals and their usual sizes over all origins after the first day."""
    inputs, errors, sizes = [], [], []
    for horizon in horizons:
        origins = np.arange(24, len(residual) - horizon + 1)
        target = origins + horizon - 1
        known = np.isfinite(residual[target])
        inputs.append(_features(residual, origins[known], horizon))
        errors.append(residual[target[known]])
        sizes.append(size[target[known]])
    return np.vstack(inputs), np.concatenate(errors), np.concatenate(sizes)


def _features(residual: FloatArray, origins: IntArray, horizon: int) -> FloatArray:
    """Shape (origins, FEATURES); an origin is the index of the first hour not known. Unknown residuals count as 0."""
    known = np.nan_to_num(residual)
    total = np.concatenate([[0.0], np.cumsum(known)])
    target = origins + horizon - 1
    yesterday = target - 24 * (-(-horizon // 24))
    return np.stack(
        [
            known[np.maximum(origins - 1, 0)],
            _mean_before(total, origins, 3),
            _mean_before(total, origins, 24),
            _mean_before(total, origins, WEEK_H),
            _at(known, yesterday),
            (_at(known, yesterday - 24) + _at(known, yesterday - 48)) / 2,
            _at(known, target - WEEK_H),
        ],
        axis=1,
    )


def _mean_before(total: FloatArray, origins: IntArray, hours: int) -> FloatArray:
    begin = np.maximum(origins - hours, 0)
    means: FloatArray = (total[origins] - total[begin]) / np.maximum(origins - begin, 1)
    return means


def _at(values: FloatArray, index: IntArray) -> FloatArray:
    return np.where(index >= 0, values[np.maximum(index, 0)], 0.0)


def _ridge(inputs: FloatArray, errors: FloatArray) -> FloatArray:
    gram = inputs.T @ inputs
    mean_square = max(float(np.trace(gram)) / FEATURES, 1e-12)
    return np.asarray(
        np.linalg.solve(gram + RIDGE * mean_square * np.eye(FEATURES), inputs.T @ errors), dtype=np.float64
    )


def _scale(place: IntArray, residual: FloatArray) -> FloatArray:
    """Root mean square by hour of the day and kind of day, shrunk to that of all hours."""
    known = np.isfinite(residual)
    square = np.square(residual[known])
    overall = max(float(square.mean()), 1e-6) if square.size else 1e-6
    count = np.bincount(place[known], minlength=48)
    total = np.bincount(place[known], weights=square, minlength=48)
    found: FloatArray = np.sqrt((total + 5.0 * overall) / (count + 5.0))
    return found


def _quantiles(left: FloatArray) -> tuple[float, float, float]:
    if left.size < 24:
        # The normal distribution's, until there are errors to look at.
        return (-1.2816, 0.0, 1.2816)
    low, middle, high = (float(value) for value in np.quantile(left, [0.1, 0.5, 0.9]))
    return (middle - WIDENING * (middle - low), middle, middle + WIDENING * (high - middle))
