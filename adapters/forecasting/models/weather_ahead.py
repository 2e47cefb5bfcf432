"""What was known of the weather ahead is not kept, only what came: it is made up, as a forecast that errs, or as
yesterday's temperatures."""

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, IntArray
from adapters.forecasting.models.residual_correction import HORIZON_H
from domain.time_series.windows import FloatArray

WEATHER_ERROR_K, WEATHER_MEMORY = 1.7, 0.95
"""A weather forecast errs by so much, and in an hour by so much of what it did in the hour before."""


def wandering(drawn: FloatArray, level: float) -> FloatArray:
    """An error that wanders (autoregressive, of first order), from independent errors `drawn` (n,) of the same size;
    `level` is that of the hour before the first."""
    found = np.empty(len(drawn))
    for step, fresh in enumerate((drawn * np.sqrt(1.0 - WEATHER_MEMORY**2)).tolist()):
        level = WEATHER_MEMORY * level + fresh
        found[step] = level
    return found


def forecast_error_k(hour: int) -> FloatArray:
    """The error of the weather forecast for the 49 hours from `hour` (since 1970) on, the same whenever it is asked
    for: shape (49,). Trials that knew what came would trust the weather too much.
    """
    drawn = np.random.default_rng(hour).normal(0.0, WEATHER_ERROR_K, HORIZON_H + 1)
    return np.concatenate([drawn[:1], wandering(drawn[1:], float(drawn[0]))])


def hours_of_yesterday(hours: IntArray) -> IntArray:
    """The indices of the hours a day (two, from the second day on) before the 49 from each of `hours` on: (n, 49).

    As the temperature stands in for a weather forecast that is away.
    """
    ahead = np.arange(HORIZON_H + 1)
    found: IntArray = hours[:, None] + ahead - HOURS_A_DAY * (1 + ahead // HOURS_A_DAY)
    return found
