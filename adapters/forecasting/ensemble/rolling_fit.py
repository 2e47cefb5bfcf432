"""Fits a batch day by day, with the data that was available on each day: nothing uses later data.

Each day begins with the mean models of all earlier days. Their errors are the out-of-sample residuals, to which the
corrections are fitted once a week. Every 18 hours a trial forecast is made. Once its errors are complete, they
weight the candidates and determine the intervals. Training runs this to the present, a backtest beyond.
"""

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, HOURS_A_WEEK, IntArray
from adapters.forecasting.data.batch import HistoryBatch
from adapters.forecasting.ensemble.fitted_batch import (
    FULL,
    NO_WEATHER,
    YESTERDAYS_WEATHER,
    FittedBatch,
    Window,
    align_to_local_clock,
    window_of,
)
from adapters.forecasting.ensemble.trials import MODEL, TRIAL_EVERY_H, Trials
from adapters.forecasting.models.autoregression import lagged
from adapters.forecasting.models.mean_models import MEMBERS, MeanModels
from adapters.forecasting.models.naive_methods import filled_day
from adapters.forecasting.models.residual_correction import (
    BLOCKS,
    FEATURES,
    HORIZON_H,
    WINDOW_H,
    CorrectionFit,
)
from adapters.forecasting.models.temperature_columns import (
    Climate,
    climate_of,
    columns,
    forward_filled,
    has_enough_temperatures,
    smoothed,
)
from adapters.forecasting.models.weather_ahead import forecast_error_k, hours_one_day_before
from domain.time_series.windows import FloatArray

MIN_HISTORY_H = 14 * HOURS_A_DAY
"""Residuals of a mean model with fewer hours are ignored."""
MODELS_FROM_H = 35 * HOURS_A_DAY
"""Models are used from this number of known hours on; before, only the naive methods."""
REFIT_AFTER_DAYS = (14, 28, 56, 112)
REFIT_EVERY_DAYS = 91
"""When knots and occupied hours are refitted: after these numbers of days, and then at this interval."""
TRAINING_DAYS = 28 + 7 * 13 + 45 + 28
"""The days that trials need for residuals, corrections, weights and errors."""
GAP_H = 6
"""A longer gap of the temperature is not filled; the models with weather ignore its hours."""


class RollingFit:
    """The state of a batch up to a day. Call `open_day` and `close_day` alternately."""

    def __init__(self, batch: HistoryBatch, *, train_from_day: int) -> None:
        """From `train_from_day` on residuals and trials are stored; earlier days only add to the mean models."""
        self.batch = batch
        self.facilities, self.hours = batch.load_kw.shape
        self.temp_c = forward_filled(batch.temp_c, GAP_H)
        """Without gaps, the input of the models."""
        self._smooth_c = smoothed(self.temp_c, np.full(self.facilities, np.nan))
        self._filled_kw = np.zeros((self.facilities, self.hours))
        self._residual_kw = np.full((len(MEMBERS), self.facilities, self.hours), np.nan)
        self._hours_with_load = np.cumsum(np.isfinite(batch.load_kw), axis=1)
        self._corrections = CorrectionFit()
        self._trials = Trials(self.facilities)
        self._from = train_from_day
        self.day = 0
        while self.day < train_from_day:
            self._fill()
            self.day += 1
        self._refit(self.day * HOURS_A_DAY)

    def open_day(self) -> None:
        """Fit to everything before today, and compute today's residuals."""
        first = self.day * HOURS_A_DAY
        if self._is_refit_day():
            self._refit(first)
        elif (self.day - self._from) % 7 == 0:
            self._refit_where_weather_became_available(first)
        self._means = self._models.means(first)
        if (self.day - self._from) % 7 == 0:
            self._autoregression = self._models.autoregression(first)
            self._fit_corrections(first)
        self._fill()
        self._add_residuals(first)
        for hour in range(first, first + HOURS_A_DAY):
            if (self.batch.first_hour + hour) % TRIAL_EVERY_H == 0 and hour + HORIZON_H <= self.hours:
                self._run_trial(hour)

    def close_day(self) -> None:
        """Add today to the mean models."""
        today = self._today()
        self._models.add(
            today.start,
            self.batch.load_kw[:, today],
            self.batch.week[:, today],
            self._columns(today),
            lagged(self.batch.load_kw, today.start, today.stop - today.start),
        )
        self.day += 1

    def hours_with_load(self, end: int) -> IntArray:
        """The number of known hours of each facility's load before index `end`."""
        result: IntArray = (
            self._hours_with_load[:, end - 1] if end else np.zeros(self.facilities, dtype=np.int64)
        )
        return result

    def fitted_batch(self, end: int) -> FittedBatch:
        """The fitted batch as of index `end`, which is in today or ends it."""
        spreads = self._trials.spreads(end, self._usual_kw(end))
        return self._fitted_without_spreads(end)._replace(spreads=spreads)

    def past_kw(self) -> FloatArray:
        """The last four weeks up to the end: load, and the residuals of every member; NaN where unknown.

        Shape (facilities, 1 + members, 672).
        """
        end = np.full(self.facilities, self.hours)
        load_kw, residual_kw = window_of(self.batch.load_kw, end), window_of(self._residual_kw, end)
        return np.concatenate([load_kw[None], residual_kw]).swapaxes(0, 1)

    def smooth_c(self) -> FloatArray:
        """The smoothed temperature at the end: shape (facilities, 1)."""
        return self._smooth_c[:, -1:]

    def window(self, end: IntArray, temp_c: FloatArray, age_h: int = 0) -> Window:
        """The window at the origins `end` (facilities,) with temperatures `temp_c` (facilities, 49) ahead and the
        last `age_h` hours unknown."""
        ahead = end[:, None] + np.arange(HORIZON_H + 1)
        week = np.take_along_axis(self.batch.week, ahead, axis=1)
        past = np.maximum(end[:, None] + np.arange(-WINDOW_H, 0), 0)
        clocks_h = np.take_along_axis(self.batch.clocks_h, past, axis=1)
        clock_then_h = np.take_along_axis(self.batch.clocks_h, end[:, None] + HOURS_A_DAY, axis=1)
        load_kw = np.nan_to_num(window_of(self._filled_kw, end))
        residual_kw = window_of(self._residual_kw, end)
        _blank_recent_hours(load_kw, residual_kw, age_h)
        for one in (load_kw, residual_kw):
            align_to_local_clock(one, clock_then_h - clocks_h)
        _blank_recent_hours(
            load_kw, residual_kw, age_h
        )  # at a clock change, an hour replaces the one before it
        return Window(
            load_kw=load_kw,
            residual_kw=residual_kw,
            week=week,
            columns=self._columns_ahead(end, week, temp_c),
            age_h=age_h,
        )

    def _columns_ahead(self, end: IntArray, week: IntArray, temp_c: FloatArray) -> FloatArray:
        smooth = np.take_along_axis(self._smooth_c, np.maximum(end - 1, 0)[:, None], axis=1)[:, 0]
        return columns(self._climate, week, temp_c, smoothed(temp_c, smooth))

    def _is_refit_day(self) -> bool:
        last = REFIT_AFTER_DAYS[-1]
        later = self.day > last and (self.day - last) % REFIT_EVERY_DAYS == 0
        return self.day > self._from and (self.day in REFIT_AFTER_DAYS or later)

    def _refit(self, end: int) -> None:
        """Fit knots and occupied hours to everything before index `end`, and the mean models from their beginning."""
        everyone = np.arange(self.facilities)
        self._climate = self._climate_of(everyone, end)
        self._models = self._models_of(everyone, end, began_h=end or None)

    def _refit_where_weather_became_available(self, end: int) -> None:
        """The same for facilities that had too few temperatures at the last refit and now have enough."""
        without = np.flatnonzero(self._climate.known == 0)
        rows = without[
            has_enough_temperatures(self.batch.load_kw[without, :end], self.batch.temp_c[without, :end])
        ]
        climate = self._climate_of(rows, end)
        rows, climate = rows[climate.known > 0], climate.of(climate.known > 0)
        if rows.size:
            self._climate.put(rows, climate)
            self._models.put(rows, self._models_of(rows, end, began_h=self._models.began_h))

    def _climate_of(self, rows: IntArray, end: int) -> Climate:
        batch = self.batch
        return climate_of(batch.week[rows, :end], batch.load_kw[rows, :end], batch.temp_c[rows, :end])

    def _models_of(self, rows: IntArray, end: int, *, began_h: int | None) -> MeanModels:
        models, batch = MeanModels(len(rows), began_h), self.batch
        if end:
            week, load_kw = batch.week[rows, :end], batch.load_kw[rows, :end]
            seen = columns(self._climate.of(rows), week, self.temp_c[rows, :end], self._smooth_c[rows, :end])
            models.add(0, load_kw, week, seen, lagged(load_kw, 0, end))
        return models

    def _fit_corrections(self, first: int) -> None:
        begin = first - HORIZON_H - HOURS_A_WEEK - WINDOW_H
        if begin >= self._from * HOURS_A_DAY - WINDOW_H:
            past = self._residual_kw[:, :, max(begin, 0) : first]
            past = np.pad(past, ((0, 0), (0, 0), (max(-begin, 0), 0)), constant_values=np.nan)
            self._corrections.add_week(past.reshape(-1, past.shape[2]))
        weights = self._corrections.weights(len(MEMBERS) * self.facilities)
        self._weights = weights.reshape(len(MEMBERS), self.facilities, len(BLOCKS), FEATURES)

    def _fill(self) -> None:
        today = self._today()
        self._filled_kw[:, today] = filled_day(self.batch.load_kw[:, today], self._filled_kw, today.start)

    def _add_residuals(self, first: int) -> None:
        today = self._today()
        mean = self._means.fitted(self.batch.week[:, today], self._columns(today))
        ready = self.hours_with_load(first) >= MIN_HISTORY_H
        self._residual_kw[:, :, today] = np.where(ready[:, None], self.batch.load_kw[:, today] - mean, np.nan)

    def _run_trial(self, hour: int) -> None:
        fitted_batch = self._fitted_without_spreads(hour)
        ahead = slice(hour, hour + HORIZON_H)
        # The 49th hour has no weight where the origin is a full hour.
        came_c = np.pad(self.temp_c[:, ahead], ((0, 0), (0, 1)), mode="edge")
        temp_c = came_c + forecast_error_k(self.batch.first_hour + hour)
        end = np.full(self.facilities, hour)
        window = self.window(end, temp_c)
        yesterdays_c = self.temp_c[:, np.maximum(hours_one_day_before(end[:1])[0], 0)]
        candidates_kw = fitted_batch.candidates(window)
        candidates_with_old_kw = fitted_batch.candidates_with(
            self._columns_ahead(end, window.week, yesterdays_c), window, candidates_kw
        )
        unready = self.hours_with_load(hour) < MIN_HISTORY_H
        for one in (candidates_kw, candidates_with_old_kw):
            one[MODEL[:, None] & unready] = np.nan
        mixes = {
            FULL: fitted_batch.combine(candidates_kw, FULL),
            NO_WEATHER: fitted_batch.combine(candidates_kw, NO_WEATHER),
            YESTERDAYS_WEATHER: fitted_batch.combine(candidates_with_old_kw, YESTERDAYS_WEATHER),
        }
        in_order = np.stack([mixes[mode] for mode in sorted(mixes)])
        self._trials.add(hour, candidates_kw, in_order, self.batch.load_kw[:, ahead], window.place)

    def _fitted_without_spreads(self, end: int) -> FittedBatch:
        weights = self._trials.weights(
            end, self.hours_with_load(end) >= MODELS_FROM_H, self._climate.known > 0
        )
        return FittedBatch(self._climate, self._means, self._autoregression, self._weights, weights, ())

    def _usual_kw(self, end: int) -> FloatArray:
        """An estimate of the size of errors before there are any: a quarter of last week's standard deviation."""
        last = self._filled_kw[:, max(end - HOURS_A_WEEK, 0) : end]
        result: FloatArray = 0.25 * last.std(axis=1) + 0.05 * np.abs(last.mean(axis=1))
        return result

    def _today(self) -> slice:
        first = self.day * HOURS_A_DAY
        return slice(first, min(first + HOURS_A_DAY, self.hours))

    def _columns(self, hours: slice) -> FloatArray:
        return columns(
            self._climate, self.batch.week[:, hours], self.temp_c[:, hours], self._smooth_c[:, hours]
        )


def _blank_recent_hours(load_kw: FloatArray, residual_kw: FloatArray, age_h: int) -> None:
    """Replace the last `age_h` hours of the windows by the load one or more weeks before."""
    if age_h:
        residual_kw[:, :, -age_h:] = np.nan
        hours = np.arange(WINDOW_H - age_h, WINDOW_H)
        load_kw[:, hours] = load_kw[:, hours - HOURS_A_WEEK * -(-age_h // HOURS_A_WEEK)]
