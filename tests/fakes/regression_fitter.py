"""Ordinary least squares by the pseudo-inverse: without statsmodels, which takes seconds to import."""

import numpy as np

from domain.baseline.regression.training import LinearFit
from domain.time_series.windows import FloatArray


class PseudoInverseFitter:
    """Implements RegressionFitter."""

    def fit(self, columns: FloatArray, values: FloatArray) -> LinearFit:
        inverse = np.linalg.pinv(columns)
        rank = round(float((columns * inverse.T).sum()))  # the trace of the projection
        freedom = len(values) - rank
        if freedom < 1:
            raise ValueError(f"{len(values)} values leave no degree of freedom to {columns.shape[1]} columns")
        coefficients = inverse @ values
        residuals = values - columns @ coefficients
        return LinearFit(
            coefficients=coefficients,
            covariance=inverse @ inverse.T * float(residuals @ residuals) / freedom,
            residuals=residuals,
            degrees_of_freedom=freedom,
        )
