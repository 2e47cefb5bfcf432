"""Weighted ridge regressions of many facilities at once, stored as normal equations to which days are added.

The columns are one for each hour of the week and `dense` others. The former are indicators, so their block of X'WX
is diagonal, and only a system of `dense` equations must be solved for each facility (its Schur complement). Tested
against statsmodels' WLS to 1e-8.
"""

from typing import NamedTuple

import numpy as np

from adapters.forecasting.calendar.local_week import HOURS_A_WEEK, IntArray
from domain.time_series.windows import FloatArray


class Coefficients(NamedTuple):
    """The coefficients of one regression for each facility."""

    week: FloatArray
    """Shape (facilities, 168), in the unit of the target."""
    dense: FloatArray
    """Shape (facilities, dense)."""

    def fitted(self, week: IntArray, dense: FloatArray) -> FloatArray:
        """Shape (facilities, n), of `week` (facilities, n) and `dense` (facilities, n, dense)."""
        by_hour = np.take_along_axis(self.week, week, axis=1)
        result: FloatArray = by_hour + np.matmul(dense, self.dense[:, :, None])[:, :, 0]
        return result


class NormalEquations:
    """X'WX and X'Wy of each facility, in blocks."""

    def __init__(self, facilities: int, dense: int) -> None:
        self._week = np.zeros((facilities, HOURS_A_WEEK))
        self._week_y = np.zeros((facilities, HOURS_A_WEEK))
        self._cross = np.zeros((facilities, dense, HOURS_A_WEEK))
        self._dense = np.zeros((facilities, dense, dense))
        self._dense_y = np.zeros((facilities, dense))

    def add(self, week: IntArray, dense: FloatArray, target: FloatArray, weights: FloatArray) -> None:
        """Add rows of every facility: shapes (f, n), (f, n, dense), (f, n), (f, n).

        A row with NaN in its target or a column is ignored.
        """
        known = np.isfinite(target) & np.isfinite(dense).all(axis=2)
        weights = np.where(known, weights, 0.0)
        target = np.where(known, target, 0.0)
        dense = np.where(known[:, :, None], dense, 0.0)
        facilities, count = len(week), len(week) * HOURS_A_WEEK
        place = (week + HOURS_A_WEEK * np.arange(facilities)[:, None]).ravel()

        def by_hour(values: FloatArray) -> FloatArray:
            sums: FloatArray = np.bincount(place, values.ravel(), count).astype(np.float64)
            return sums.reshape(facilities, HOURS_A_WEEK)

        weighted = dense * weights[:, :, None]
        self._week += by_hour(weights)
        self._week_y += by_hour(weights * target)
        for column in range(dense.shape[2]):
            self._cross[:, column] += by_hour(weighted[:, :, column])
        self._dense += np.matmul(weighted.transpose(0, 2, 1), dense)
        self._dense_y += np.matmul(weighted.transpose(0, 2, 1), target[:, :, None])[:, :, 0]

    def put(self, rows: IntArray, own: "NormalEquations") -> None:
        """Replace the equations of `rows` by those of `own`, in their order."""
        self._week[rows], self._week_y[rows] = own._week, own._week_y
        self._cross[rows] = own._cross
        self._dense[rows], self._dense_y[rows] = own._dense, own._dense_y

    def mean_square(self, columns: slice) -> FloatArray:
        """The weighted sum of squares of those dense columns, averaged over them: shape (facilities,)."""
        diagonal = np.diagonal(self._dense, axis1=1, axis2=2)[:, columns]
        result: FloatArray = diagonal.mean(axis=1)
        return result

    def solve(self, week_ridge: float, dense_ridge: FloatArray) -> Coefficients:
        """Minimize the weighted squares plus the ridges: one for the hours, (dense,) or (facilities, dense)."""
        inverse = 1.0 / (self._week + week_ridge)
        scaled = self._cross * inverse[:, None, :]
        left = self._dense - np.matmul(scaled, self._cross.transpose(0, 2, 1))
        left[:, np.arange(left.shape[1]), np.arange(left.shape[1])] += dense_ridge
        right = self._dense_y - np.matmul(scaled, self._week_y[:, :, None])[:, :, 0]
        dense = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        week = inverse * self._week_y - np.matmul(dense[:, None, :], scaled)[:, 0, :]
        return Coefficients(week, dense)
