"""Simulates past weather forecasts, which are not stored: as the actual temperature with an error, or as
yesterday's."""

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, IntArray
from adapters.forecasting.models.residual_correction import HORIZON_H
from domain.time_series.windows import FloatArray

WEATHER_ERROR_K, WEATHER_MEMORY = 1.7, 0.95
"""The standard error of a weather forecast, and its correlation from hour to hour."""


def autoregressive_noise(drawn: FloatArray, level: float) -> FloatArray:
    """Autoregressive noise of first order, from independent errors `drawn` (n,) of the same size; `level` is the
    value of the hour before the first."""
    result = np.empty(len(drawn))
    for step, fresh in enumerate((drawn * np.sqrt(1.0 - WEATHER_MEMORY**2)).tolist()):
        level = WEATHER_MEMORY * level + fresh
        result[step] = level
    return result


def forecast_error_k(hour: int) -> FloatArray:
    """The error of the weather forecast for the 49 hours from `hour` (since 1970) on, deterministic: shape (49,).
    Trials with the actual temperatures would give the weather too much weight."""
    drawn = np.random.default_rng(hour).normal(0.0, WEATHER_ERROR_K, HORIZON_H + 1)
    return np.concatenate([drawn[:1], autoregressive_noise(drawn[1:], float(drawn[0]))])


def hours_one_day_before(hours: IntArray) -> IntArray:
    """The indices of the hours one day (from the second day on, two) before the 49 from each of `hours` on: (n,
    49).

    Yesterday's temperature replaces a weather forecast that is unavailable.
    """
    ahead = np.arange(HORIZON_H + 1)
    result: IntArray = hours[:, None] + ahead - HOURS_A_DAY * (1 + ahead // HOURS_A_DAY)
    return result
