"""The regression fitter port: ordinary least squares with the covariance of the coefficients."""

from typing import Protocol

from domain.baseline.regression.training import LinearFit
from domain.time_series.windows import FloatArray


class RegressionFitter(Protocol):
    """Synchronous and stateless; safe to use from several threads."""

    def fit(self, columns: FloatArray, values: FloatArray) -> LinearFit:
        """Fit `values` (n,) by `columns` (n, k), n > k, all finite; no constant is added.

        Where columns depend on each other, the coefficients of least norm; a column of zeros has coefficient and
        variance 0. The covariance is that of independent residuals of one variance. Raises ValueError where no degree
        of freedom is left.
        """
        ...
