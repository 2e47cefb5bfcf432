"""The fitted parameters of a batch of facilities, as arrays, and the forecasts that follow from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_WEEK, IntArray, day_kind_hour
from adapters.forecasting.ensemble.conformal import Spread, at_least_as_wide
from adapters.forecasting.ensemble.weighting import combine
from adapters.forecasting.models.autoregression import predict_hourly, without_lags
from adapters.forecasting.models.mean_models import MEMBERS, Means
from adapters.forecasting.models.naive_methods import NAMES, naive
from adapters.forecasting.models.normal_equations import Coefficients
from adapters.forecasting.models.residual_correction import BLOCKS, FEATURES, WINDOW_H, corrections
from adapters.forecasting.models.temperature_columns import Climate
from domain.time_series.windows import FloatArray

CANDIDATES = (*(f"member {number}" for number in range(len(MEMBERS))), "autoregression", *NAMES)
MODELS = len(MEMBERS) + 1
NEEDS_WEATHER = np.array([*(kind.weather for kind in MEMBERS), True, *(False for _ in NAMES)])
FULL, NO_WEATHER, YESTERDAYS_WEATHER = 0, 1, 2
MODES = 3
"""Modes by what is known of the weather ahead; each has its own interval."""
MIXTURE_OF = (0, 1, 0)
"""Mode -> the weights that mix its candidates: those of full weather also for yesterday's."""
MIXTURES = 2
AUTOREGRESSION_MAX_AGE_H = 3
"""With older data the autoregression starts from filled values and is left out."""


class Window(NamedTuple):
    """A batch at its origin: the past four weeks and the hours ahead, at most two days."""

    load_kw: FloatArray
    """Shape (facilities, 672), gaps filled, see naive_methods."""
    residual_kw: FloatArray
    """Shape (members, facilities, 672), metered less mean, NaN where unknown."""
    week: IntArray
    """Shape (facilities, hours + 1), hours of the week of the clock hours ahead, from that of the origin on."""
    columns: FloatArray
    """Shape (facilities, hours + 1, DENSE), of the same hours."""
    age_h: int = 0
    """The number of last hours that are unknown."""
    phase: float = 0.0
    """The position of the origin within its clock hour, 0 to 1: the hours before and after it begin there."""

    def of(self, own: slice | IntArray, age_h: int) -> Window:
        """The window of some facilities, of which the last `age_h` hours are unknown."""
        return Window(
            load_kw=self.load_kw[own],
            residual_kw=self.residual_kw[:, own],
            week=self.week[own],
            columns=self.columns[own],
            age_h=age_h,
            phase=self.phase,
        )

    def shifted(self, by_clock_hour: FloatArray) -> FloatArray:
        """Values (..., hours + 1) of clock hours converted to (..., hours) that begin at the origin's phase."""
        return shifted(by_clock_hour, self.phase)

    @property
    def hours(self) -> int:
        """The length of the horizon."""
        return int(self.week.shape[1]) - 1

    @property
    def place(self) -> IntArray:
        """The kind of day and hour of the hours ahead, as of day_kind_hour: shape (facilities, hours)."""
        return day_kind_hour(self.week[:, :-1])


class FittedBatch(NamedTuple):
    climate: Climate
    means: Means
    autoregression: Coefficients
    corrections: FloatArray
    """Shape (members, facilities, blocks, FEATURES)."""
    weights: FloatArray
    """Shape (MIXTURES, candidates, facilities, spans)."""
    spreads: tuple[Spread, ...]
    """One for each of MODES."""

    def candidates(self, window: Window, mean_kw: FloatArray | None = None) -> FloatArray:
        """The forecasts of CANDIDATES: shape (candidates, facilities, hours).

        `mean_kw` (members, facilities, hours + 1) is the output of `means` for the window's clock hours, where it
        is computed already.
        """
        if mean_kw is None:
            mean_kw = self.means.fitted(window.week, window.columns)
        members, facilities = mean_kw.shape[:2]
        added = corrections(
            self.corrections.reshape(members * facilities, len(BLOCKS), FEATURES),
            window.residual_kw.reshape(members * facilities, -1),
            window.age_h,
            window.hours,
        )
        return np.concatenate(
            [
                window.shifted(mean_kw) + added.reshape(members, facilities, window.hours),
                self._autoregression_kw(window)[None],
                naive(window.load_kw, window.hours, window.age_h),
            ]
        )

    def candidates_with(self, columns: FloatArray, window: Window, forecast_kw: FloatArray) -> FloatArray:
        """The forecasts with other temperatures, those of `columns`, given the forecasts `forecast_kw` of `window`."""
        others = window._replace(columns=columns)
        members = forecast_kw[: len(MEMBERS)] + (self._means(others) - self._means(window))
        return np.concatenate([members, self._autoregression_kw(others)[None], forecast_kw[MODELS:]])

    def _means(self, window: Window) -> FloatArray:
        """Shape (members, facilities, hours)."""
        return window.shifted(self.means.fitted(window.week, window.columns))

    def _autoregression_kw(self, window: Window) -> FloatArray:
        """Shape (facilities, hours)."""
        ahead = window.shifted(without_lags(self.autoregression).fitted(window.week, window.columns))
        return predict_hourly(self.autoregression, window.load_kw[:, -HOURS_A_WEEK - 1 :], ahead)

    def combine(self, candidates_kw: FloatArray, mode: int, age_h: int = 0) -> FloatArray:
        """The forecast: shape (facilities, hours)."""
        weights = self.weights[MIXTURE_OF[mode]]
        if age_h > AUTOREGRESSION_MAX_AGE_H:
            weights = weights.copy()
            weights[MODELS - 1] = 0.0
            weights /= np.maximum(weights.sum(axis=0), 1e-300)
        return combine(weights, candidates_kw, age_h)

    def error_interval(self, window: Window, mode: int) -> FloatArray:
        """Shape (2, facilities, hours): the 10 and 90 % quantiles of the error; in no mode narrower than in FULL."""
        full = self.spreads[FULL].error_interval(window.place, window.age_h)
        if mode == FULL:
            return full
        return at_least_as_wide(self.spreads[mode].error_interval(window.place, window.age_h), full)


def shifted(by_clock_hour: FloatArray, phase: float) -> FloatArray:
    """Means over the hours that begin `phase` of an hour later, one fewer: each overlaps two clock hours."""
    if not phase:
        return by_clock_hour[..., :-1]
    return (1.0 - phase) * by_clock_hour[..., :-1] + phase * by_clock_hour[..., 1:]


def align_to_local_clock(values: FloatArray, later_h: IntArray) -> None:
    """Move hours (..., facilities, n) in their array, so that the same local hour on earlier days is at the same
    offset.

    `later_h` (facilities, n) is how much further local clocks are ahead of UTC at the forecast hours than at each
    hour. Nothing moves except in the weeks after a clock change.
    """
    columns = np.flatnonzero(later_h.any(axis=0))
    later_h = later_h[:, columns]
    result = [
        (later_h == hours, values[..., np.clip(columns + hours, 0, values.shape[-1] - 1)])
        for hours in np.unique(later_h).tolist()
        if hours
    ]
    for moved, from_there in result:
        values[..., columns] = np.where(moved, from_there, values[..., columns])


def window_of(values: FloatArray, end: IntArray) -> FloatArray:
    """The WINDOW_H hours before index `end` (facilities,) of each row; NaN before the beginning. Any leading axes."""
    index = end[:, None] + np.arange(-WINDOW_H, 0)
    result: FloatArray = np.take_along_axis(
        values, np.broadcast_to(np.maximum(index, 0), (*values.shape[:-1], WINDOW_H)), axis=-1
    )
    return np.where(index >= 0, result, np.nan)
