"""Autoregression with lags of 1, 2, 24, 25 and 168 hours, the hour of the week and temperature.

The same model as statsmodels' AutoReg with these lags and exogenous columns, fitted for many facilities at once; a
test compares the two.
"""

import numpy as np

from adapters.forecasting.models.normal_equations import Coefficients
from domain.time_series.windows import FloatArray

LAGS_H = (1, 2, 24, 25, 168)
NEAR_LAGS = 2
"""The number of lags that are shorter than a day."""


def lagged(load_kw: FloatArray, first: int, count: int) -> FloatArray:
    """The load LAGS_H hours before each of `count` hours from index `first` on; NaN before the series' beginning.

    Shape (facilities, count, lags).
    """
    index = first + np.arange(count)[:, None] - np.array(LAGS_H)
    return np.where(index >= 0, load_kw[:, np.maximum(index, 0)], np.nan)


def without_lags(coefficients: Coefficients) -> Coefficients:
    """The part of the regression without lags: the hour of the week and the temperature."""
    return Coefficients(coefficients.week, coefficients.dense[:, len(LAGS_H) :])


def predict_hourly(coefficients: Coefficients, load_kw: FloatArray, known_ahead_kw: FloatArray) -> FloatArray:
    """Recursive forecast from the end of `load_kw` (facilities, 168 or more, no gaps).

    `known_ahead_kw` (facilities, n) is the output of `without_lags` for the hours ahead. A facility is limited to
    twice the range of its past, so that an explosive fit cannot diverge.
    """
    past = load_kw.shape[1]
    known = np.concatenate([load_kw, known_ahead_kw], axis=1)
    low, high = load_kw.min(axis=1), load_kw.max(axis=1)
    room = (high - low) / 2
    low, high = low - room, high + room
    near, far = LAGS_H[:NEAR_LAGS], LAGS_H[NEAR_LAGS:]
    weights = list(coefficients.dense[:, : len(LAGS_H)].T)
    for first in range(past, known.shape[1], far[0]):
        last = min(first + far[0], known.shape[1])
        # Values a day or more before are known for all these hours at once.
        for weight, lag in zip(weights[NEAR_LAGS:], far, strict=True):
            known[:, first:last] += weight[:, None] * known[:, first - lag : last - lag]
        for hour in range(first, last):
            own = known[:, hour]
            for weight, lag in zip(weights, near, strict=False):
                own = own + weight * known[:, hour - lag]
            known[:, hour] = np.minimum(np.maximum(own, low), high)
    return known[:, past:]
