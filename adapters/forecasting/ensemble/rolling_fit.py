"""The batch learns day by day, as it would have as the days came: nothing looks ahead of the day it is used on.

Each day begins with the mean models of all days before it; what they then get wrong are the out-of-sample residuals
that the corrections are fitted to once a week. Every 18 hours a forecast is made as a trial, and its errors, once they
are all known, weigh the candidates and spread the intervals. Training runs this to the present, a backtest further.
"""

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, HOURS_A_WEEK, IntArray
from adapters.forecasting.data.batch import Batch
from adapters.forecasting.ensemble.fitted_batch import (
    FULL,
    NO_WEATHER,
    YESTERDAYS_WEATHER,
    Learned,
    Window,
    put_by_local_clock,
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
    carried_on,
    climate_of,
    columns,
    is_known_enough,
    smoothed,
)
from adapters.forecasting.models.weather_ahead import forecast_error_k, hours_of_yesterday
from domain.time_series.windows import FloatArray

LEAST_KNOWN_H = 14 * HOURS_A_DAY
"""The residuals of a mean model of less are not looked at."""
USED_FROM_H = 35 * HOURS_A_DAY
"""Models are used from so many known hours on; before, the naive methods alone."""
RENEWED_AFTER_DAYS = (14, 28, 56, 112)
RENEWED_EVERY_DAYS = 91
"""When knots and occupied hours are looked at afresh: after so many days, and then every so many."""
LEARNING_DAYS = 28 + 7 * 13 + 45 + 28
"""What trials need to be made as they would have been: residuals, corrections, weights and errors behind them."""
GAP_H = 6
"""A longer gap of the temperature is not bridged; its hours teach the models with weather nothing."""


class Rolling:
    """What was learnt of a batch up to a day. `open_day` and `close_day` take turns."""

    def __init__(self, batch: Batch, *, learn_from_day: int) -> None:
        """From `learn_from_day` on residuals and trials are kept; the days before only add to the mean models."""
        self.batch = batch
        self.facilities, self.hours = batch.load_kw.shape
        self.temp_c = carried_on(batch.temp_c, GAP_H)
        """Without gaps, as the models see it."""
        self._smooth_c = smoothed(self.temp_c, np.full(self.facilities, np.nan))
        self._filled_kw = np.zeros((self.facilities, self.hours))
        self._residual_kw = np.full((len(MEMBERS), self.facilities, self.hours), np.nan)
        self._known_h = np.cumsum(np.isfinite(batch.load_kw), axis=1)
        self._corrections = CorrectionFit()
        self._trials = Trials(self.facilities)
        self._from = learn_from_day
        self.day = 0
        while self.day < learn_from_day:
            self._fill()
            self.day += 1
        self._renew(self.day * HOURS_A_DAY)

    def open_day(self) -> None:
        """Learn of all that was before today, and see what today's hours are beside their means."""
        first = self.day * HOURS_A_DAY
        if self._is_renewed_today():
            self._renew(first)
        elif (self.day - self._from) % 7 == 0:
            self._renew_those_with_weather_now(first)
        self._means = self._models.means(first)
        if (self.day - self._from) % 7 == 0:
            self._autoregression = self._models.autoregression(first)
            self._learn_corrections(first)
        self._fill()
        self._see_residuals(first)
        for hour in range(first, first + HOURS_A_DAY):
            if (self.batch.first_hour + hour) % TRIAL_EVERY_H == 0 and hour + HORIZON_H <= self.hours:
                self._try(hour)

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

    def known_h(self, end: int) -> IntArray:
        """How many hours of each facility's load are known before index `end`."""
        found: IntArray = self._known_h[:, end - 1] if end else np.zeros(self.facilities, dtype=np.int64)
        return found

    def learned(self, end: int) -> Learned:
        """All of it as of index `end`, which lies in today or ends it."""
        spreads = self._trials.spreads(end, self._usual_kw(end))
        return self._learned_without_spreads(end)._replace(spreads=spreads)

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
        """At the origins `end` (facilities,), `temp_c` (facilities, 49) foreseen, the last `age_h` hours unknown."""
        ahead = end[:, None] + np.arange(HORIZON_H + 1)
        week = np.take_along_axis(self.batch.week, ahead, axis=1)
        past = np.maximum(end[:, None] + np.arange(-WINDOW_H, 0), 0)
        clocks_h = np.take_along_axis(self.batch.clocks_h, past, axis=1)
        clock_then_h = np.take_along_axis(self.batch.clocks_h, end[:, None] + HOURS_A_DAY, axis=1)
        load_kw = np.nan_to_num(window_of(self._filled_kw, end))
        residual_kw = window_of(self._residual_kw, end)
        _forget(load_kw, residual_kw, age_h)
        for one in (load_kw, residual_kw):
            put_by_local_clock(one, clock_then_h - clocks_h)
        _forget(load_kw, residual_kw, age_h)  # where clocks change, an hour stands in for the one before it
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

    def _is_renewed_today(self) -> bool:
        last = RENEWED_AFTER_DAYS[-1]
        later = self.day > last and (self.day - last) % RENEWED_EVERY_DAYS == 0
        return self.day > self._from and (self.day in RENEWED_AFTER_DAYS or later)

    def _renew(self, end: int) -> None:
        """Knots and occupied hours out of all before index `end`, and the mean models from their beginning."""
        everyone = np.arange(self.facilities)
        self._climate = self._climate_of(everyone, end)
        self._models = self._models_of(everyone, end, began_h=end or None)

    def _renew_those_with_weather_now(self, end: int) -> None:
        """The same for those alone whose temperatures were too little known when it was last done, and no more are."""
        without = np.flatnonzero(self._climate.known == 0)
        rows = without[is_known_enough(self.batch.load_kw[without, :end], self.batch.temp_c[without, :end])]
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

    def _learn_corrections(self, first: int) -> None:
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

    def _see_residuals(self, first: int) -> None:
        today = self._today()
        mean = self._means.fitted(self.batch.week[:, today], self._columns(today))
        ready = self.known_h(first) >= LEAST_KNOWN_H
        self._residual_kw[:, :, today] = np.where(ready[:, None], self.batch.load_kw[:, today] - mean, np.nan)

    def _try(self, hour: int) -> None:
        learned = self._learned_without_spreads(hour)
        ahead = slice(hour, hour + HORIZON_H)
        # The 49th hour counts for nothing where the origin is a full hour.
        came_c = np.pad(self.temp_c[:, ahead], ((0, 0), (0, 1)), mode="edge")
        temp_c = came_c + forecast_error_k(self.batch.first_hour + hour)
        end = np.full(self.facilities, hour)
        window = self.window(end, temp_c)
        yesterdays_c = self.temp_c[:, np.maximum(hours_of_yesterday(end[:1])[0], 0)]
        said = learned.candidates(window)
        said_with_old = learned.candidates_with(
            self._columns_ahead(end, window.week, yesterdays_c), window, said
        )
        unready = self.known_h(hour) < LEAST_KNOWN_H
        for one in (said, said_with_old):
            one[MODEL[:, None] & unready] = np.nan
        mixes = {
            FULL: learned.mixed(said, FULL),
            NO_WEATHER: learned.mixed(said, NO_WEATHER),
            YESTERDAYS_WEATHER: learned.mixed(said_with_old, YESTERDAYS_WEATHER),
        }
        in_order = np.stack([mixes[mode] for mode in sorted(mixes)])
        self._trials.add(hour, said, in_order, self.batch.load_kw[:, ahead], window.place)

    def _learned_without_spreads(self, end: int) -> Learned:
        weights = self._trials.weights(end, self.known_h(end) >= USED_FROM_H, self._climate.known > 0)
        return Learned(self._climate, self._means, self._autoregression, self._weights, weights, ())

    def _usual_kw(self, end: int) -> FloatArray:
        """A guess at the size of errors, before there are any: a quarter of how much the last week varied."""
        last = self._filled_kw[:, max(end - HOURS_A_WEEK, 0) : end]
        found: FloatArray = 0.25 * last.std(axis=1) + 0.05 * np.abs(last.mean(axis=1))
        return found

    def _today(self) -> slice:
        first = self.day * HOURS_A_DAY
        return slice(first, min(first + HOURS_A_DAY, self.hours))

    def _columns(self, hours: slice) -> FloatArray:
        return columns(
            self._climate, self.batch.week[:, hours], self.temp_c[:, hours], self._smooth_c[:, hours]
        )


def _forget(load_kw: FloatArray, residual_kw: FloatArray, age_h: int) -> None:
    """The last `age_h` hours of the windows: a week or more before stands for the load."""
    if age_h:
        residual_kw[:, :, -age_h:] = np.nan
        hours = np.arange(WINDOW_H - age_h, WINDOW_H)
        load_kw[:, hours] = load_kw[:, hours - HOURS_A_WEEK * -(-age_h // HOURS_A_WEEK)]
