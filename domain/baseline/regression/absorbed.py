"""The regression for many windows: the same least squares as RegressionFitter's, in a hundredth of the time.

The hours of the week are absorbed: with the mean of each hour taken out of the load and of the temperature columns, the
remaining fit has one coefficient for each segment, and the same ones (Frisch and Waugh, Econometrica 1933; Lovell, JASA
1963). There is no covariance, so a measurement does not use it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from domain.baseline.regression.model import HOURS_A_WEEK
from domain.baseline.regression.training import (
    LinearFit,
    TrainingHours,
    model_terms,
    occupancy_columns,
    temperature_columns,
)
from domain.time_series.windows import FloatArray

Fit = Callable[[FloatArray, FloatArray], LinearFit]

LEAST_EIGENVALUE = 1e-9
"""Of the columns scaled to length 1: below it they depend on each other."""


def absorbed_baseline(
    training: TrainingHours, week: NDArray[np.int64], temp_c: FloatArray, fit: Fit
) -> FloatArray | None:
    """The baseline (kW) at the hours of the week and temperatures `week` and `temp_c` of a window, shape (n,) each.

    `fit` is RegressionFitter's; it decides which hours are occupied where the temperatures are always above, or always
    below 10 degrees. None where other columns depend on each other, too: then it decides everything.
    """
    terms = model_terms(training, _occupancy_residuals(training, fit))
    columns = temperature_columns(terms, training.week, training.temp_c)
    both = np.column_stack([columns, training.load_kw])
    means = _hourly_means(training.week, both)
    centred = both - means[training.week]
    if _is_constant_by_hour(columns, centred[:, :-1]):
        return None
    slopes = _coefficients(centred[:, :-1], centred[:, -1])
    if slopes is None:
        return None
    hours_kw = means[week, -1] - means[week, :-1] @ slopes
    baseline_kw: FloatArray = hours_kw + temperature_columns(terms, week, temp_c) @ slopes
    return baseline_kw


def _occupancy_residuals(training: TrainingHours, fit: Fit) -> FloatArray:
    columns = occupancy_columns(training)
    coefficients = _coefficients(columns, training.load_kw)
    if coefficients is None:
        return fit(columns, training.load_kw).residuals
    residuals_kw: FloatArray = training.load_kw - columns @ coefficients
    return residuals_kw


def _hourly_means(week: NDArray[np.int64], values: FloatArray) -> FloatArray:
    """The mean of each column in each hour of the week, shape (168, columns); 0 for an hour that does not occur."""
    columns = values.shape[1]
    cell = week[:, None] * columns + np.arange(columns)
    sums = np.bincount(cell.ravel(), weights=values.ravel(), minlength=HOURS_A_WEEK * columns)
    counts = np.maximum(np.bincount(week, minlength=HOURS_A_WEEK), 1)
    return np.asarray(sums.reshape(HOURS_A_WEEK, columns) / counts[:, None], dtype=np.float64)


def _is_constant_by_hour(columns: FloatArray, centred: FloatArray) -> bool:
    """True if a column is a sum of hours of the week: what is left of it is nothing but rounding errors."""
    left, whole = (centred * centred).sum(axis=0), (columns * columns).sum(axis=0)
    return bool((left < LEAST_EIGENVALUE**2 * whole).any())


def _coefficients(columns: FloatArray, values: FloatArray) -> FloatArray | None:
    """By the normal equations; 0 for a column of zeros. None where columns depend on each other."""
    products = columns.T @ columns
    lengths = np.sqrt(np.diag(products))
    is_used = lengths > 0
    result = np.zeros(columns.shape[1])
    if not is_used.any():
        return result
    lengths = lengths[is_used]
    scaled = products[np.ix_(is_used, is_used)] / np.outer(lengths, lengths)
    if np.linalg.eigvalsh(scaled)[0] < LEAST_EIGENVALUE:
        return None
    result[is_used] = np.linalg.solve(scaled, (columns.T @ values)[is_used] / lengths) / lengths
    return result
