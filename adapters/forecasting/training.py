"""Trains: fits the batch up to the present and returns its parameters."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapters.forecasting.calendar.local_week import (
    HOUR_S,
    HOURS_A_DAY,
    clocks_ahead_h,
    hours_of_week,
)
from adapters.forecasting.calendar.public_holidays import region_of
from adapters.forecasting.data.batch import HistoryBatch
from adapters.forecasting.data.cleaning import clean_history
from adapters.forecasting.data.hourly import QUARTER_S, hour_of, on_steps
from adapters.forecasting.ensemble.bounds import observed_range
from adapters.forecasting.ensemble.parameters import Block, values_of
from adapters.forecasting.ensemble.rolling_fit import MODELS_FROM_H, TRAINING_DAYS, RollingFit
from adapters.forecasting.ensemble.within_hour import QUARTERS, within_hour
from adapters.forecasting.models.residual_correction import HORIZON_H
from application.ports.forecast.load_forecaster import FacilityHistory
from domain.time_series.windows import FloatArray

WITHIN_HOUR_DAYS = 90
LEAST_DAYS = 7
"""Days without trials, since naive methods look back a week."""


class PreparedHistories(NamedTuple):
    """The cleaned histories of several facilities on one grid."""

    batch: HistoryBatch
    quarters_kw: FloatArray
    """Shape (facilities, last hours, 4); NaN where only the hour is known."""
    clean: tuple[FacilityHistory, ...]
    notes: tuple[tuple[str, ...], ...]
    """For each facility, what was left out of its history."""
    range_kw: FloatArray
    """Shape (facilities, 2): the lowest and the highest step."""
    plausible_kw: FloatArray
    """Shape (facilities, 2), as of spikes.plausible_range: a reading inside is accepted at once."""


def prepare_histories(
    histories: Sequence[FacilityHistory], *, quarters_of_days: int | None = WITHIN_HOUR_DAYS
) -> PreparedHistories:
    """Hourly means from the first UTC day to the last full hour of any; quarters of the last days (None: all)."""
    first = min(hour_of(one.mean_kw.starts_at) for one in histories) // HOURS_A_DAY * HOURS_A_DAY
    last = max(hour_of(one.mean_kw.ends_at) for one in histories)
    hours = max(last - first, 1)
    shape = (len(histories), hours)
    load, temp = np.full(shape, np.nan), np.full(shape, np.nan)
    recent = hours if quarters_of_days is None else min(quarters_of_days * HOURS_A_DAY, hours)
    quarters = np.full((len(histories), recent, QUARTERS), np.nan)
    reach, bounds = np.zeros((len(histories), 2)), np.zeros((len(histories), 2))
    result = [clean_history(one) for one in histories]
    for row, (clean, _, plausible_kw) in enumerate(result):
        load[row] = on_steps(clean.mean_kw, first * HOUR_S, HOUR_S, hours)
        temp[row] = on_steps(clean.temp_c, first * HOUR_S, HOUR_S, hours)
        reach[row] = observed_range(clean)
        bounds[row] = plausible_kw
        if clean.mean_kw.step_s <= QUARTER_S:
            began_s = (first + hours - recent) * HOUR_S
            parts = on_steps(clean.mean_kw, began_s, QUARTER_S, recent * QUARTERS)
            quarters[row] = parts.reshape(recent, QUARTERS)
    week = np.stack(
        [
            hours_of_week(first, hours + HORIZON_H + 1, one.tz, region_of(one.tz, one.region))
            for one in histories
        ]
    )
    clocks_h = np.stack([clocks_ahead_h(first, hours + HORIZON_H + 1, one.tz) for one in histories])
    return PreparedHistories(
        batch=HistoryBatch(first, load, temp, week, clocks_h),
        quarters_kw=quarters,
        clean=tuple(one.history for one in result),
        notes=tuple(one.notes for one in result),
        range_kw=reach,
        plausible_kw=bounds,
    )


def fit_parameters(histories: PreparedHistories) -> Block:
    """The parameters as of the batch's last hour."""
    batch = histories.batch
    hours = batch.load_kw.shape[1]
    rolling = RollingFit(batch, train_from_day=first_training_day(batch.days))
    while rolling.day < batch.days:
        rolling.open_day()
        rolling.close_day()
    rolling.open_day()
    values = values_of(rolling.fitted_batch(hours))
    values["smooth_c"] = rolling.smooth_c()
    recent = slice(hours - histories.quarters_kw.shape[1], hours)
    shape = within_hour(histories.quarters_kw, batch.week[:, recent])
    values |= {"within_hour_kw": shape.pattern_kw, "within_hour_sd_kw": shape.noise_kw}
    values |= {"reach_kw": histories.range_kw, "believed_kw": histories.plausible_kw}
    return Block(
        values,
        list(rolling.past_kw()),
        (batch.first_hour + hours,) * len(batch.load_kw),
        tuple(bool(known >= MODELS_FROM_H) for known in rolling.hours_with_load(hours)),
    )


def first_training_day(days: int) -> int:
    return max(days - TRAINING_DAYS, min(LEAST_DAYS, days))
