"""Ordinary least squares by statsmodels."""

import numpy as np

from domain.baseline.regression.training import LinearFit
from domain.time_series.windows import FloatArray


class StatsmodelsFitter:
    """Implements RegressionFitter. statsmodels is imported at the first fit: it takes a second and 100 MB."""

    def fit(self, columns: FloatArray, values: FloatArray) -> LinearFit:
        from statsmodels.regression.linear_model import OLS

        basis = _basis_of_rows(columns)
        fitted = OLS(values, columns if basis is None else columns @ basis, hasconst=False).fit(method="pinv")
        freedom = int(fitted.df_resid)
        if freedom < 1:
            raise ValueError(f"{len(values)} values leave no degree of freedom to {columns.shape[1]} columns")
        coefficients = np.asarray(fitted.params, dtype=np.float64)
        covariance = np.asarray(fitted.cov_params(), dtype=np.float64)
        if basis is not None:
            coefficients, covariance = basis @ coefficients, basis @ covariance @ basis.T
        return LinearFit(
            coefficients=coefficients,
            covariance=covariance,
            residuals=np.asarray(fitted.resid, dtype=np.float64),
            degrees_of_freedom=freedom,
        )


def _basis_of_rows(columns: FloatArray) -> FloatArray | None:
    """Orthonormal directions (k, rank) in which the columns differ; None: in all of them, they are independent.

    The coefficients of least norm have no part in the others. statsmodels would take those in which the columns differ
    by rounding only (its pseudoinverse ignores less than 1e-15 of the largest) for real, with huge coefficients.
    """
    _, sizes, directions = np.linalg.svd(columns, full_matrices=False)
    limit = sizes.max(initial=0.0) * max(columns.shape) * np.finfo(np.float64).eps
    rank = max(1, int((sizes > limit).sum()))
    if rank == columns.shape[1]:
        return None
    basis: FloatArray = directions[:rank].T
    return basis
