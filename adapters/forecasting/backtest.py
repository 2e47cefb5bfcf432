"""Rolling-origin backtest at local midnights: the batch is fitted day by day and forecasts on the way."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np

from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY, IntArray, local_midnights
from adapters.forecasting.data.grouping import group_by_span
from adapters.forecasting.data.hourly import on_steps
from adapters.forecasting.ensemble.bounds import clip_to_range
from adapters.forecasting.ensemble.fitted_batch import FULL, NO_WEATHER, YESTERDAYS_WEATHER
from adapters.forecasting.ensemble.rolling_fit import MODELS_FROM_H, RollingFit
from adapters.forecasting.ensemble.within_hour import StepShape, in_steps, within_hour
from adapters.forecasting.load_forecaster import BatchedLoadForecaster
from adapters.forecasting.models.weather_ahead import autoregressive_noise, hours_one_day_before
from adapters.forecasting.training import LEAST_DAYS, WITHIN_HOUR_DAYS, PreparedHistories, prepare_histories
from application.ports.forecast.load_forecaster import FacilityHistory
from application.ports.forecast.rolling_forecasts import (
    HORIZON_H,
    BacktestConditions,
    FacilityRun,
    WeatherAhead,
)
from domain.time_series.windows import FloatArray

MODE_OF: dict[WeatherAhead, int] = {
    "forecast": FULL,
    "yesterday": YESTERDAYS_WEATHER,
    "none": NO_WEATHER,
}


class _Prediction(NamedTuple):
    """The forecast at one origin of one facility."""

    origin_h: int
    kw: FloatArray
    """Shape (3, 48), hourly."""
    mean_kw: FloatArray
    """Shape (49,)."""
    day: int
    """The UTC day of the newest reading that the forecast uses."""


class BatchedRollingForecasts:
    """Implements RollingForecasts with the engine of BatchedLoadForecaster."""

    def runs(
        self, histories: Sequence[FacilityHistory], conditions: BacktestConditions
    ) -> Iterator[FacilityRun]:
        for group in group_by_span(histories):
            own = [histories[i] for i in group]
            yield from _Run(own, conditions).facilities()


class _Run:
    """A batch of a backtest."""

    def __init__(self, histories: Sequence[FacilityHistory], conditions: BacktestConditions) -> None:
        self._histories = histories
        self._conditions = conditions
        self._prepared: PreparedHistories = prepare_histories(histories, quarters_of_days=None)
        batch = self._prepared.batch
        self._rolling = RollingFit(batch, train_from_day=min(LEAST_DAYS, batch.days))
        self._first_day = max(conditions.learn_days, batch.days - conditions.days)
        self._midnights = [
            {hour - batch.first_hour for hour in local_midnights(batch.first_hour, self._end, one.tz)}
            for one in histories
        ]
        self._temp_c = self._temperature_forecast()
        self._predictions: list[list[_Prediction]] = [[] for _ in histories]
        self._shapes: dict[int, StepShape] = {}

    @property
    def _end(self) -> int:
        batch = self._prepared.batch
        return batch.first_hour + int(batch.load_kw.shape[1])

    def facilities(self) -> Iterator[FacilityRun]:
        rolling = self._rolling
        if self._first_day >= self._prepared.batch.days:
            return  # no origin follows
        for day in range(rolling.day, self._prepared.batch.days):
            rolling.open_day()
            self._predict_day(day)
            rolling.close_day()
        for row, history in enumerate(self._histories):
            if self._predictions[row]:
                yield self._facility(row, history)

    def _predict_day(self, day: int) -> None:
        """Forecast at local midnights that are, by the age of the readings, after an hour of this UTC day.

        Around clock changes there may be none or two.
        """
        first = day * HOURS_A_DAY + self._conditions.stale_h
        hours = range(max(first, self._first_day * HOURS_A_DAY), first + HOURS_A_DAY)
        result = [[hour for hour in hours if hour in known] for known in self._midnights]
        for turn in range(max(map(len, result))):
            here = [row for row, own in enumerate(result) if len(own) > turn]
            origins = np.array([own[turn] if len(own) > turn else hours.start for own in result])
            self._predict_at(here, origins, day)

    def _predict_at(self, rows: Sequence[int], origins: IntArray, day: int) -> None:
        rolling, conditions = self._rolling, self._conditions
        fitted_batch = rolling.fitted_batch(int(origins.min()) - conditions.stale_h)
        if conditions.weather == "yesterday":
            hours = hours_one_day_before(origins)
        else:
            hours = origins[:, None] + np.arange(HORIZON_H + 1)
        temp_c = np.take_along_axis(self._temp_c, np.clip(hours, 0, self._temp_c.shape[1] - 1), axis=1)
        window = rolling.window(origins, temp_c, conditions.stale_h)
        mode = MODE_OF[conditions.weather]
        candidates_kw = fitted_batch.candidates(window)
        middle = fitted_batch.combine(candidates_kw, mode, conditions.stale_h)
        low, high = fitted_batch.error_interval(window, mode)
        mean = fitted_batch.means.fitted(window.week, window.columns)[-1 if mode == NO_WEATHER else 0]
        for row in rows:
            kw = np.stack([middle[row] + low[row], middle[row], middle[row] + high[row]])
            self._predictions[row].append(_Prediction(int(origins[row]), kw, mean[row], day))

    def _facility(self, row: int, history: FacilityHistory) -> FacilityRun:
        batch, predictions = self._prepared.batch, self._predictions[row]
        step_s = history.mean_kw.step_s
        shown = [self._in_steps(row, one, step_s) for one in predictions]
        origins_h = np.array([one.origin_h for one in predictions])
        is_model = (
            self._rolling.hours_with_load(int(origins_h[-1]) - self._conditions.stale_h)[row] >= MODELS_FROM_H
        )
        return FacilityRun(
            facility_id=history.facility_id,
            model=BatchedLoadForecaster.NAME if is_model else BatchedLoadForecaster.NAIVE_NAME,
            origins_s=(batch.first_hour + origins_h) * HOUR_S,
            kw=self._clipped_to_observed(self._prepared.clean[row], origins_h, np.stack(shown, axis=1)),
            notes=self._prepared.notes[row],
        )

    def _in_steps(self, row: int, prediction: _Prediction, step_s: int) -> FloatArray:
        """Shape (3, steps)."""
        if step_s >= HOUR_S:
            return prediction.kw
        week = self._prepared.batch.week[row, prediction.origin_h : prediction.origin_h + HORIZON_H + 1]
        shape = self._shape(prediction.day).row(row)
        return in_steps(
            shape, prediction.kw[:, None], prediction.mean_kw[None], week[None], phase=0.0, step_s=step_s
        )[:, 0]

    def _shape(self, day: int) -> StepShape:
        """The pattern of load within its hours, as of the last seventh day."""
        as_of = day // 7 * 7
        if as_of not in self._shapes:
            end = as_of * HOURS_A_DAY
            past = slice(max(end - WITHIN_HOUR_DAYS * HOURS_A_DAY, 0), end)
            quarters = self._prepared.quarters_kw[:, past]
            self._shapes[as_of] = within_hour(quarters, self._prepared.batch.week[:, past])
        return self._shapes[as_of]

    def _clipped_to_observed(
        self, history: FacilityHistory, origins_h: IntArray, kw: FloatArray
    ) -> FloatArray:
        """Clipped like forecasts, by the load that was observed before each origin."""
        step_s = history.mean_kw.step_s
        parts = max(HOUR_S // step_s, 1)
        first_s = self._prepared.batch.first_hour * HOUR_S
        steps = on_steps(history.mean_kw, first_s, step_s, int(origins_h[-1]) * parts)
        last = (origins_h - self._conditions.stale_h) * parts - 1
        lowest = np.fmin.accumulate(steps)[last][:, None]
        highest = np.fmax.accumulate(steps)[last][:, None]
        return clip_to_range(kw, lowest, highest)

    def _temperature_forecast(self) -> FloatArray:
        """The actual temperatures plus an autoregressive error of first order, the same for the same facility."""
        temp_c = self._rolling.temp_c
        if self._conditions.weather != "forecast" or not self._conditions.weather_error_k:
            return temp_c
        result = np.empty_like(temp_c)
        for row, history in enumerate(self._histories):
            drawn = np.random.default_rng(crc32(history.facility_id.encode())).normal(size=(temp_c.shape[1],))
            result[row] = temp_c[row] + self._conditions.weather_error_k * autoregressive_noise(drawn, 0.0)
        return result
