"""The regression for many windows: the same least squares as RegressionFitter's, in a hundredth of the time.

The hours of the week are absorbed: with the mean of each hour taken out of the load and of the temperature columns, the
remaining fit has one coefficient for each segment, and the same ones (Frisch and Waugh, Econometrica 1933; Lovell, JASA
1963). There is no covariance, so a measurement does not use it.
"""

import numpy as np
from numpy.typing import NDArray

from domain.baseline.regression.model import HOURS_A_WEEK
from domain.baseline.regression.training import (
    TrainingHours,
    model_terms,
    occupancy_columns,
    temperature_columns,
)
from domain.time_series.windows import FloatArray

LEAST_EIGENVALUE = 1e-9
"""Of the columns scaled to length 1: below it they depend on each other."""


def absorbed_baseline(
    training: TrainingHours, week: NDArray[np.int64], temp_c: FloatArray
) -> FloatArray | None:
    """The baseline (kW) at the hours of the week and temperatures `week` and `temp_c` of a window, shape (n,) each.

    None where columns depend on each other: then the fitter decides.
    """
    columns = occupancy_columns(training)
    occupancy = _coefficients(columns, training.load_kw)
    if occupancy is None:
        return None
    terms = model_terms(training, training.load_kw - columns @ occupancy)
    columns = temperature_columns(terms, training.week, training.temp_c)
    both = np.column_stack([columns, training.load_kw])
    means = _hourly_means(training.week, both)
    centred = both - means[training.week]
    slopes = _coefficients(centred[:, :-1], centred[:, -1])
    if slopes is None:
        return None
    hours_kw = means[week, -1] - means[week, :-1] @ slopes
    baseline_kw: FloatArray = hours_kw + temperature_columns(terms, week, temp_c) @ slopes
    return baseline_kw


def _hourly_means(week: NDArray[np.int64], values: FloatArray) -> FloatArray:
    """The mean of each column in each hour of the week, shape (168, columns); 0 for an hour that does not occur."""
    columns = values.shape[1]
    cell = week[:, None] * columns + np.arange(columns)
    sums = np.bincount(cell.ravel(), weights=values.ravel(), minlength=HOURS_A_WEEK * columns)
    counts = np.maximum(np.bincount(week, minlength=HOURS_A_WEEK), 1)
    return np.asarray(sums.reshape(HOURS_A_WEEK, columns) / counts[:, None], dtype=np.float64)


def _coefficients(columns: FloatArray, values: FloatArray) -> FloatArray | None:
    """By the normal equations; 0 for a column of zeros. None where columns depend on each other."""
    lengths = np.sqrt((columns * columns).sum(axis=0))
    is_used = lengths > 0
    scaled = columns[:, is_used] / lengths[is_used]
    products = scaled.T @ scaled
    result = np.zeros(columns.shape[1])
    if not is_used.any():
        return result
    if np.linalg.eigvalsh(products)[0] < LEAST_EIGENVALUE:
        return None
    result[is_used] = np.linalg.solve(products, scaled.T @ values) / lengths[is_used]
    return result
