"""Trial forecasts during fitting, and their errors, which weight the candidates and determine the intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, IntArray
from adapters.forecasting.ensemble.conformal import ORIGINS, Spread, fit_spread
from adapters.forecasting.ensemble.fitted_batch import (
    CANDIDATES,
    MIXTURE_OF,
    MIXTURES,
    MODES,
    NEEDS_WEATHER,
    NO_WEATHER,
)
from adapters.forecasting.ensemble.weighting import SPANS_H, mean_squares, mixing_weights
from adapters.forecasting.models.mean_models import MEMBERS
from adapters.forecasting.models.residual_correction import HORIZON_H
from domain.time_series.windows import FloatArray

TRIAL_EVERY_H = 18
"""So that each quarter of the day has a trial within three days."""
WEIGHT_WINDOW_H = 28 * HOURS_A_DAY
HALF_LIFE_H = 10 * HOURS_A_DAY
"""The half-life of a candidate's errors, so that after a change adapted candidates gain weight soon."""
PRIOR = np.array([1.0] * len(MEMBERS) + [0.5] + [0.0] * (len(CANDIDATES) - len(MEMBERS) - 1))
"""The weights before the first errors are known."""

MODEL = np.array([True] * (len(MEMBERS) + 1) + [False] * (len(CANDIDATES) - len(MEMBERS) - 1))
"""Which candidates are models, not naive methods."""


class _Trial(NamedTuple):
    hour: int
    squares: FloatArray
    """Shape (candidates, facilities, spans, 2)."""
    errors_kw: FloatArray
    """Shape (MODES, facilities, 48)."""
    place: IntArray


class Trials:
    """The trials of one batch, in order of time. The errors of a trial are used only once its two days are over."""

    def __init__(self, facilities: int) -> None:
        self._facilities = facilities
        self._trials: list[_Trial] = []

    def add(
        self,
        hour: int,
        forecast_kw: FloatArray,
        mixes_kw: FloatArray,
        metered_kw: FloatArray,
        place: IntArray,
    ) -> None:
        """Add a trial at index `hour`: candidates (candidates, facilities, 48), mixes (MODES, facilities, 48),
        metered (facilities, 48), which is not used before it is past."""
        squares = mean_squares(metered_kw - forecast_kw)
        self._trials.append(_Trial(hour, squares, metered_kw - mixes_kw, place))
        del self._trials[: -2 * ORIGINS]

    def weights(
        self, end: int, models_allowed: NDArray[np.bool_], has_weather: NDArray[np.bool_]
    ) -> FloatArray:
        """Shape (MIXTURES, candidates, facilities, spans), with the data before index `end`.

        `models_allowed` (facilities,): where models are used at all. Without weather, models that need it are
        excluded.
        """
        recent = [
            trial.squares * 0.5 ** ((end - trial.hour) / HALF_LIFE_H)
            for trial in self._completed(end)
            if trial.hour >= end - WEIGHT_WINDOW_H
        ]
        shape = (len(CANDIDATES), self._facilities, len(SPANS_H), 2)
        sums = np.sum(recent, axis=0) if recent else np.zeros(shape)
        full = ~MODEL[:, None] | models_allowed
        dry = full & ~(NEEDS_WEATHER[:, None] & has_weather)
        result = [full] * MIXTURES
        result[MIXTURE_OF[NO_WEATHER]] = dry
        return np.stack([mixing_weights(sums, allowed, PRIOR) for allowed in result])

    def spreads(self, end: int, usual_kw: FloatArray) -> tuple[Spread, ...]:
        """The spread of each of MODES, with the data before index `end`."""
        over = self._completed(end)[-ORIGINS:]
        if not over:
            nothing = np.full((1, self._facilities, HORIZON_H), np.nan)
            place = np.zeros((1, self._facilities, HORIZON_H), dtype=np.int64)
            return tuple(fit_spread(nothing, place, usual_kw) for _ in range(MODES))
        place = np.stack([trial.place for trial in over])
        return tuple(
            fit_spread(np.stack([trial.errors_kw[mode] for trial in over]), place, usual_kw)
            for mode in range(MODES)
        )

    def _completed(self, end: int) -> list[_Trial]:
        return [trial for trial in self._trials if trial.hour + HORIZON_H <= end]
