"""The members of the ensemble: four mean models of each facility, updated day by day.

They differ in half-life and in the use of the weather. The autoregression is stored beside them.
"""

from typing import NamedTuple

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_DAY, IntArray
from adapters.forecasting.models.autoregression import LAGS_H
from adapters.forecasting.models.normal_equations import Coefficients, NormalEquations
from adapters.forecasting.models.temperature_columns import DENSE
from domain.time_series.windows import FloatArray


class Member(NamedTuple):
    half_life_days: float
    weather: bool


MEMBERS = (Member(180.0, True), Member(1000.0, True), Member(30.0, False), Member(1000.0, False))
AUTOREGRESSION_HALF_LIFE_DAYS = 365.0
WEEK_RIDGE = 0.3
"""In hours: the weight of the facility's level in each hour of the week."""
LEVEL_RIDGE = 1e-6
DENSE_RIDGE = 3.0
"""In hours at ten kelvin."""
LAG_RIDGE = 1e-3
"""As a share of the mean square of the lags."""


class Means(NamedTuple):
    """Coefficients of every member, in the order of MEMBERS."""

    members: tuple[Coefficients, ...]

    def fitted(self, week: IntArray, columns: FloatArray) -> FloatArray:
        """Shape (members, facilities, n); `columns` as of temperature_columns."""
        return np.stack(
            [
                one.fitted(week, columns if kind.weather else columns[:, :, :1])
                for kind, one in zip(MEMBERS, self.members, strict=True)
            ]
        )


class MeanModels:
    """The normal equations of a batch of facilities. Older hours have less weight."""

    def __init__(self, facilities: int, began_h: int | None = None) -> None:
        """`began_h`: the index at which an hour weighs 1; None: the end of the first hours that are added."""
        self._equations = [NormalEquations(facilities, DENSE if kind.weather else 1) for kind in MEMBERS]
        self._lagged = NormalEquations(facilities, len(LAGS_H) + DENSE)
        self.began_h = began_h

    def add(
        self, first: int, load_kw: FloatArray, week: IntArray, columns: FloatArray, lags_kw: FloatArray
    ) -> None:
        """Add the hours from index `first` on: shapes (f, n), (f, n), (f, n, DENSE), (f, n, lags)."""
        if self.began_h is None:
            self.began_h = first + load_kw.shape[1]
        # New hours get a weight above 1 instead of reducing old ones, so that no sum is changed every day.
        age_days = (first + np.arange(load_kw.shape[1]) - self.began_h) / HOURS_A_DAY

        def weights(half_life_days: float) -> FloatArray:
            return np.broadcast_to(np.exp2(age_days / half_life_days), load_kw.shape)

        for kind, equations in zip(MEMBERS, self._equations, strict=True):
            equations.add(
                week,
                columns if kind.weather else columns[:, :, :1],
                load_kw,
                weights(kind.half_life_days),
            )
        self._lagged.add(
            week,
            np.concatenate([lags_kw, columns], axis=2),
            load_kw,
            weights(AUTOREGRESSION_HALF_LIFE_DAYS),
        )

    def put(self, rows: IntArray, own: "MeanModels") -> None:
        """Replace the sums of those rows by `own`, which began at the same hour."""
        for equations, others in zip(self._equations, own._equations, strict=True):
            equations.put(rows, others)
        self._lagged.put(rows, own._lagged)

    def means(self, at_h: int) -> Means:
        """The coefficients as of index `at_h`."""
        weather = np.array([LEVEL_RIDGE] + [DENSE_RIDGE] * (DENSE - 1))
        result = []
        for kind, equations in zip(MEMBERS, self._equations, strict=True):
            grown = self._ridge_scale(at_h, kind.half_life_days)
            ridge = weather if kind.weather else weather[:1]
            result.append(equations.solve(WEEK_RIDGE * grown, ridge * grown))
        return Means(tuple(result))

    def autoregression(self, at_h: int) -> Coefficients:
        grown = self._ridge_scale(at_h, AUTOREGRESSION_HALF_LIFE_DAYS)
        ridge = np.array([0.0] * len(LAGS_H) + [LEVEL_RIDGE] + [DENSE_RIDGE] * (DENSE - 1)) * grown
        lags = np.zeros(len(ridge))
        lags[: len(LAGS_H)] = LAG_RIDGE
        usual = self._lagged.mean_square(slice(0, len(LAGS_H)))
        return self._lagged.solve(WEEK_RIDGE * grown, ridge + lags * (usual[:, None] + 1e-9))

    def _ridge_scale(self, at_h: int, half_life_days: float) -> float:
        """The present weight of an hour: ridges are in present hours."""
        return float(np.exp2((at_h - (self.began_h or at_h)) / HOURS_A_DAY / half_life_days))
