"""Autoregression with lags of 1, 2, 24, 25 and 168 hours, the hour of the week and temperature.

The model of statsmodels' AutoReg with these lags and exogenous columns, fitted for many facilities at once; a test
holds the two to each other.
"""

import numpy as np

from adapters.forecasting.normal_equations import Coefficients
from domain.time_windows import FloatArray

LAGS_H = (1, 2, 24, 25, 168)


def lagged(load_kw: FloatArray, first: int, count: int) -> FloatArray:
    """The load LAGS_H hours before each of `count` hours from index `first` on; NaN before the series' beginning.

    Shape (facilities, count, lags).
    """
    index = first + np.arange(count)[:, None] - np.array(LAGS_H)
    return np.where(index >= 0, load_kw[:, np.maximum(index, 0)], np.nan)


def without_lags(coefficients: Coefficients) -> Coefficients:
    """The part of the regression that is known ahead: the hour of the week and the temperature."""
    return Coefficients(coefficients.week, coefficients.dense[:, len(LAGS_H) :])


def foreseen(coefficients: Coefficients, load_kw: FloatArray, known_ahead_kw: FloatArray) -> FloatArray:
    """Hour after hour from the end of `load_kw` (facilities, 168 or more, no gaps); each is the next one's past.

    `known_ahead_kw` (facilities, n) is what `without_lags` says of the hours ahead. A facility is kept within twice
    the range of its past: an explosive fit must not run away.
    """
    past = load_kw.shape[1]
    known = np.concatenate([load_kw, known_ahead_kw], axis=1)
    low, high = load_kw.min(axis=1), load_kw.max(axis=1)
    room = (high - low) / 2
    for hour in range(past, known.shape[1]):
        own = known[:, hour]
        for place, lag in enumerate(LAGS_H):
            own = own + coefficients.dense[:, place] * known[:, hour - lag]
        known[:, hour] = np.clip(own, low - room, high + room)
    return known[:, past:]
