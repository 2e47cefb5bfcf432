"""Ordinary least squares by statsmodels."""

import warnings

import numpy as np

from domain.baseline.regression.training import LinearFit
from domain.time_series.windows import FloatArray


class StatsmodelsFitter:
    """Implements RegressionFitter. statsmodels is imported at the first fit: it takes a second and 100 MB."""

    def fit(self, columns: FloatArray, values: FloatArray) -> LinearFit:
        from statsmodels.regression.linear_model import OLS
        from statsmodels.tools.sm_exceptions import SingularMatrixWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SingularMatrixWarning)  # the port allows dependent columns
            fitted = OLS(values, columns, hasconst=False).fit(method="pinv")
        freedom = int(fitted.df_resid)
        if freedom < 1:
            raise ValueError(f"{len(values)} values leave no degree of freedom to {columns.shape[1]} columns")
        return LinearFit(
            coefficients=np.asarray(fitted.params, dtype=np.float64),
            covariance=np.asarray(fitted.cov_params(), dtype=np.float64),
            residuals=np.asarray(fitted.resid, dtype=np.float64),
            degrees_of_freedom=freedom,
        )
