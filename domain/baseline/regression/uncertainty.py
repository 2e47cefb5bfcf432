"""The fractional savings uncertainty of a regression baseline (ASHRAE Guideline 14, annex B; Reddy and Claridge 2000).

The mean savings over the m metered hours of a window differ from the true ones by the error of the coefficients and by
the residuals of those hours. With autocorrelated residuals, both count as if there were fewer observations:

    variance = (n / n') * (x C x' + s^2 / m)          n' = n (1 - rho) / (1 + rho)

x: mean row of the model, C: covariance of the coefficients, s: standard deviation of the residuals, rho: their
autocorrelation from an hour to the next. The half-width is t * sqrt(variance), with (n - rank) n' / n degrees of
freedom. The usual form of the guideline, t * 1.26 * CVRMSE * sqrt(n / n' * (1 + 2 / n') / m) / savings fraction, is its
approximation where C is not known.
"""

from collections.abc import Collection
from datetime import date
from math import sqrt
from statistics import NormalDist
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from domain.baseline.regression.model import RegressionFigures, clock_hours, model_rows
from domain.baseline.result import Baseline
from domain.time_series.windows import FloatArray

LEAST_FREEDOM = 4.0
"""Below it the expansion of the t quantile is not used; an interval with fewer is too wide to be of use anyway."""


class SavingsUncertainty(msgspec.Struct, frozen=True, kw_only=True):
    """Half-widths of the two-sided 80 and 90 % confidence intervals of the delivered power."""

    kw_80: float
    kw_90: float
    share_80: float | None
    """Fractional savings uncertainty: the half-width divided by the delivered power; None if that is not above 0."""
    share_90: float | None
    observations: int
    effective_observations: float
    """n', after the correction for autocorrelation."""
    autocorrelation: float


def savings_uncertainty(
    figures: RegressionFigures, baseline: Baseline, tz: ZoneInfo, holidays: Collection[date]
) -> SavingsUncertainty | None:
    """The uncertainty of `baseline.delivered_kw`, which `regression_baseline` of `figures` gave; None without it."""
    if (delivered_kw := baseline.delivered_kw) is None:
        return None
    starts = [interval.starts_at for interval in baseline.intervals]
    metered = np.array([interval.metered_kw is not None for interval in baseline.intervals])
    rows = model_rows(figures, starts, tz, holidays, figures.temperatures_c)[metered]
    _, counts = np.unique(np.array(clock_hours(starts, tz))[metered], return_counts=True)
    share_of_hour = counts / counts.sum()
    inflation = (1 + figures.autocorrelation) / (1 - figures.autocorrelation)
    mean_row = rows.mean(axis=0)
    of_model = max(float(mean_row @ covariance_matrix(figures) @ mean_row), 0.0)
    of_residuals = figures.residual_kw**2 * float(share_of_hour @ share_of_hour)
    deviation_kw = sqrt(inflation * (of_model + of_residuals))
    freedom = max(figures.degrees_of_freedom / inflation, LEAST_FREEDOM)
    kw_80, kw_90 = (t_quantile(level, freedom) * deviation_kw for level in (0.90, 0.95))
    return SavingsUncertainty(
        kw_80=kw_80,
        kw_90=kw_90,
        share_80=kw_80 / delivered_kw if delivered_kw > 0 else None,
        share_90=kw_90 / delivered_kw if delivered_kw > 0 else None,
        observations=figures.training_hours,
        effective_observations=round(figures.training_hours / inflation, 3),
        autocorrelation=figures.autocorrelation,
    )


def t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t by its expansion in 1 / freedom (Abramowitz and Stegun 26.7.5).

    Within 0.002 of the true value for `freedom` >= 4 and probabilities up to 0.95.
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def covariance_matrix(figures: RegressionFigures) -> FloatArray:
    """The recorded lower triangle as a symmetric matrix. Raises ValueError if its size is wrong."""
    size = len(figures.coefficients)
    matrix = np.zeros((size, size))
    lower = np.tril_indices(size)
    if len(figures.covariance) != len(lower[0]):
        raise ValueError(f"{len(figures.covariance)} covariances are no triangle of {size} coefficients")
    matrix[lower] = figures.covariance
    return matrix + np.tril(matrix, -1).T
