"""The naive methods, without a model: the load at the same hour on earlier days."""

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, HOURS_A_WEEK
from domain.time_series.windows import FloatArray

NAMES = ("last week", "mean of 7 days", "yesterday", "mean of 4 weeks")


def naive(load_kw: FloatArray, horizon_h: int, age_h: int = 0) -> FloatArray:
    """Shape (4, facilities, horizon_h), in the order of NAMES: the hours after the end of `load_kw`.

    `load_kw` (facilities, at least 672) has no gaps except the last `age_h` hours, which are ignored.
    """
    end = load_kw.shape[1]
    target = end + np.arange(horizon_h)
    ahead = target - (end - age_h) + 1
    yesterday = target - HOURS_A_DAY * -(-ahead // HOURS_A_DAY)
    last_week = target - HOURS_A_WEEK * -(-ahead // HOURS_A_WEEK)
    days = [load_kw[:, np.maximum(yesterday - HOURS_A_DAY * back, 0)] for back in range(7)]
    weeks = [load_kw[:, np.maximum(last_week - HOURS_A_WEEK * back, 0)] for back in range(4)]
    return np.stack([weeks[0], sum(days) / 7, days[0], sum(weeks) / 4])


def filled_day(load_kw: FloatArray, filled_kw: FloatArray, first: int) -> FloatArray:
    """A day's load (facilities, hours) with gaps filled: from a week before, else from the day before, else 0.

    `filled_kw` holds the filled hours before index `first`, where the day begins.
    """
    result = load_kw.copy()
    hours = load_kw.shape[1]
    for back in (HOURS_A_WEEK, HOURS_A_DAY):
        if first >= back:
            before = filled_kw[:, first - back : first - back + hours]
            result = np.where(np.isfinite(result) | (before == 0.0), result, before)
    return np.nan_to_num(result)


def without_gaps(load_kw: FloatArray, usual_kw: FloatArray) -> FloatArray:
    """Whole days (facilities, hours), gaps filled as by `filled_day`; those of the first week from the week after
    it, else by `usual_kw` (facilities,)."""
    if np.isfinite(load_kw).all():
        return load_kw
    first, second = load_kw[:, :HOURS_A_WEEK], load_kw[:, HOURS_A_WEEK : 2 * HOURS_A_WEEK]
    start = np.where(np.isfinite(first), first, second)
    result = load_kw.copy()
    result[:, :HOURS_A_WEEK] = np.where(np.isfinite(start), start, usual_kw[:, None])
    for begin in range(HOURS_A_WEEK, load_kw.shape[1], HOURS_A_DAY):
        day = slice(begin, begin + HOURS_A_DAY)
        result[:, day] = filled_day(load_kw[:, day], result, begin)
    return result
