"""Forecasts made on trial while learning, and what came of them: they weigh the candidates and spread the intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, IntArray
from adapters.forecasting.ensemble.conformal import ORIGINS, Spread, spread_of
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
"""So that every six hours of the day have their turn within three days."""
WEIGHED_OVER_H = 28 * HOURS_A_DAY
FORGOTTEN_BY_HALF_H = 10 * HOURS_A_DAY
"""Of what a candidate erred; so that after a change those who follow are soon preferred."""
PRIOR = np.array([1.0] * len(MEMBERS) + [0.5] + [0.0] * (len(CANDIDATES) - len(MEMBERS) - 1))
"""The weights before the first errors are known."""

MODEL = np.array([True] * (len(MEMBERS) + 1) + [False] * (len(CANDIDATES) - len(MEMBERS) - 1))
"""Which candidates are models, not naive."""


class _Trial(NamedTuple):
    hour: int
    squares: FloatArray
    """Shape (candidates, facilities, spans, 2)."""
    errors_kw: FloatArray
    """Shape (MODES, facilities, 48)."""
    place: IntArray


class Trials:
    """Those of one batch, in order of time; the errors of one are looked at only when its two days are over."""

    def __init__(self, facilities: int) -> None:
        self._facilities = facilities
        self._made: list[_Trial] = []

    def add(
        self, hour: int, said_kw: FloatArray, mixes_kw: FloatArray, metered_kw: FloatArray, place: IntArray
    ) -> None:
        """At index `hour`: candidates (candidates, facilities, 48), mixes (MODES, facilities, 48), metered
        (facilities, 48), which is not looked at before it is past."""
        squares = mean_squares(metered_kw - said_kw)
        self._made.append(_Trial(hour, squares, metered_kw - mixes_kw, place))
        del self._made[: -2 * ORIGINS]

    def weights(self, end: int, models_may: NDArray[np.bool_], has_weather: NDArray[np.bool_]) -> FloatArray:
        """Shape (MIXTURES, candidates, facilities, spans), from what is known at index `end`.

        `models_may` (facilities,): where models are used at all. Without weather, models that need it are not.
        """
        recent = [
            trial.squares * 0.5 ** ((end - trial.hour) / FORGOTTEN_BY_HALF_H)
            for trial in self._over(end)
            if trial.hour >= end - WEIGHED_OVER_H
        ]
        shape = (len(CANDIDATES), self._facilities, len(SPANS_H), 2)
        sums = np.sum(recent, axis=0) if recent else np.zeros(shape)
        full = ~MODEL[:, None] | models_may
        dry = full & ~(NEEDS_WEATHER[:, None] & has_weather)
        found = [full] * MIXTURES
        found[MIXTURE_OF[NO_WEATHER]] = dry
        return np.stack([mixing_weights(sums, allowed, PRIOR) for allowed in found])

    def spreads(self, end: int, usual_kw: FloatArray) -> tuple[Spread, ...]:
        """One for each of MODES, from what is known at index `end`."""
        over = self._over(end)[-ORIGINS:]
        if not over:
            nothing = np.full((1, self._facilities, HORIZON_H), np.nan)
            place = np.zeros((1, self._facilities, HORIZON_H), dtype=np.int64)
            return tuple(spread_of(nothing, place, usual_kw) for _ in range(MODES))
        place = np.stack([trial.place for trial in over])
        return tuple(
            spread_of(np.stack([trial.errors_kw[mode] for trial in over]), place, usual_kw)
            for mode in range(MODES)
        )

    def _over(self, end: int) -> list[_Trial]:
        return [trial for trial in self._made if trial.hour + HORIZON_H <= end]
