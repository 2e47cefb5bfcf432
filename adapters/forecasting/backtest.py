"""Rolling-origin forecasts at local midnights: the batch learns day by day, and on the way says what it foresees."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np

from adapters.forecasting.calendar.local_week import HOUR_S, HOURS_A_DAY, IntArray, local_midnights
from adapters.forecasting.data.grouping import alike
from adapters.forecasting.data.hourly import on_steps
from adapters.forecasting.ensemble.bounds import within_reach
from adapters.forecasting.ensemble.fitted_batch import FULL, NO_WEATHER, YESTERDAYS_WEATHER
from adapters.forecasting.ensemble.rolling_fit import USED_FROM_H, Rolling
from adapters.forecasting.ensemble.within_hour import StepShape, in_steps, within_hour
from adapters.forecasting.load_forecaster import BatchedLoadForecaster
from adapters.forecasting.models.weather_ahead import hours_of_yesterday, wandering
from adapters.forecasting.training import LEAST_DAYS, WITHIN_HOUR_DAYS, Histories, gathered
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


class _Said(NamedTuple):
    """At one facility's origin."""

    origin_h: int
    kw: FloatArray
    """Shape (3, 48), by the hour."""
    mean_kw: FloatArray
    """Shape (49,)."""
    day: int
    """In whose course the newest reading that it knows was metered."""


class BatchedRollingForecasts:
    """Implements RollingForecasts with the engine that BatchedLoadForecaster trains with."""

    def runs(
        self, histories: Sequence[FacilityHistory], conditions: BacktestConditions
    ) -> Iterator[FacilityRun]:
        for group in alike(histories):
            own = [histories[i] for i in group]
            yield from _Run(own, conditions).facilities()


class _Run:
    """One batch of a backtest."""

    def __init__(self, histories: Sequence[FacilityHistory], conditions: BacktestConditions) -> None:
        self._histories = histories
        self._conditions = conditions
        self._known: Histories = gathered(histories, quarters_of_days=None)
        batch = self._known.batch
        self._rolling = Rolling(batch, learn_from_day=min(LEAST_DAYS, batch.days))
        self._first_day = max(conditions.learn_days, batch.days - conditions.days)
        self._midnights = [
            {hour - batch.first_hour for hour in local_midnights(batch.first_hour, self._end, one.tz)}
            for one in histories
        ]
        self._temp_c = self._foreseen_temperatures()
        self._said: list[list[_Said]] = [[] for _ in histories]
        self._shapes: dict[int, StepShape] = {}

    @property
    def _end(self) -> int:
        batch = self._known.batch
        return batch.first_hour + int(batch.load_kw.shape[1])

    def facilities(self) -> Iterator[FacilityRun]:
        rolling = self._rolling
        if self._first_day >= self._known.batch.days:
            return  # there is no origin to learn for
        for day in range(rolling.day, self._known.batch.days):
            rolling.open_day()
            self._say(day)
            rolling.close_day()
        for row, history in enumerate(self._histories):
            if self._said[row]:
                yield self._facility(row, history)

    def _say(self, day: int) -> None:
        """Forecast where a local midnight lies so long after an hour of this UTC day as readings are old.

        On a day of 25 hours there may be none or two.
        """
        first = day * HOURS_A_DAY + self._conditions.stale_h
        hours = range(max(first, self._first_day * HOURS_A_DAY), first + HOURS_A_DAY)
        found = [[hour for hour in hours if hour in known] for known in self._midnights]
        for turn in range(max(map(len, found))):
            here = [row for row, own in enumerate(found) if len(own) > turn]
            origins = np.array([own[turn] if len(own) > turn else hours.start for own in found])
            self._say_at(here, origins, day)

    def _say_at(self, rows: Sequence[int], origins: IntArray, day: int) -> None:
        rolling, conditions = self._rolling, self._conditions
        learned = rolling.learned(int(origins.min()) - conditions.stale_h)
        if conditions.weather == "yesterday":
            hours = hours_of_yesterday(origins)
        else:
            hours = origins[:, None] + np.arange(HORIZON_H + 1)
        temp_c = np.take_along_axis(self._temp_c, np.clip(hours, 0, self._temp_c.shape[1] - 1), axis=1)
        window = rolling.window(origins, temp_c, conditions.stale_h)
        mode = MODE_OF[conditions.weather]
        said = learned.candidates(window)
        middle = learned.mixed(said, mode, conditions.stale_h)
        low, high = learned.around(window, mode)
        mean = learned.means.fitted(window.week, window.columns)[-1 if mode == NO_WEATHER else 0]
        for row in rows:
            kw = np.stack([middle[row] + low[row], middle[row], middle[row] + high[row]])
            self._said[row].append(_Said(int(origins[row]), kw, mean[row], day))

    def _facility(self, row: int, history: FacilityHistory) -> FacilityRun:
        batch, said = self._known.batch, self._said[row]
        step_s = history.mean_kw.step_s
        shown = [self._in_steps(row, one, step_s) for one in said]
        origins_h = np.array([one.origin_h for one in said])
        is_model = self._rolling.known_h(int(origins_h[-1]) - self._conditions.stale_h)[row] >= USED_FROM_H
        return FacilityRun(
            facility_id=history.facility_id,
            model=BatchedLoadForecaster.NAME if is_model else BatchedLoadForecaster.NAIVE_NAME,
            origins_s=(batch.first_hour + origins_h) * HOUR_S,
            kw=self._as_bounded(self._known.clean[row], origins_h, np.stack(shown, axis=1)),
            notes=self._known.notes[row],
        )

    def _in_steps(self, row: int, said: _Said, step_s: int) -> FloatArray:
        """Shape (3, steps)."""
        if step_s >= HOUR_S:
            return said.kw
        week = self._known.batch.week[row, said.origin_h : said.origin_h + HORIZON_H + 1]
        shape = self._shape(said.day).row(row)
        return in_steps(shape, said.kw[:, None], said.mean_kw[None], week[None], phase=0.0, step_s=step_s)[
            :, 0
        ]

    def _shape(self, day: int) -> StepShape:
        """How load moved within its hours, as of the last seventh day."""
        as_of = day // 7 * 7
        if as_of not in self._shapes:
            end = as_of * HOURS_A_DAY
            past = slice(max(end - WITHIN_HOUR_DAYS * HOURS_A_DAY, 0), end)
            quarters = self._known.quarters_kw[:, past]
            self._shapes[as_of] = within_hour(quarters, self._known.batch.week[:, past])
        return self._shapes[as_of]

    def _as_bounded(self, history: FacilityHistory, origins_h: IntArray, kw: FloatArray) -> FloatArray:
        """Bounded as forecasts are, by what the facility had been seen to draw by each origin."""
        step_s = history.mean_kw.step_s
        parts = max(HOUR_S // step_s, 1)
        first_s = self._known.batch.first_hour * HOUR_S
        steps = on_steps(history.mean_kw, first_s, step_s, int(origins_h[-1]) * parts)
        last = (origins_h - self._conditions.stale_h) * parts - 1
        lowest = np.fmin.accumulate(steps)[last][:, None]
        highest = np.fmax.accumulate(steps)[last][:, None]
        return within_reach(kw, lowest, highest)

    def _foreseen_temperatures(self) -> FloatArray:
        """What came, plus an error that wanders (autoregressive, of first order), the same for the same facility."""
        temp_c = self._rolling.temp_c
        if self._conditions.weather != "forecast" or not self._conditions.weather_error_k:
            return temp_c
        found = np.empty_like(temp_c)
        for row, history in enumerate(self._histories):
            drawn = np.random.default_rng(crc32(history.facility_id.encode())).normal(size=(temp_c.shape[1],))
            found[row] = temp_c[row] + self._conditions.weather_error_k * wandering(drawn, 0.0)
        return found
