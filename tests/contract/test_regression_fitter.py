"""The contract of RegressionFitter."""

import numpy as np
import pytest

from adapters.regression import StatsmodelsFitter
from application.ports.regression_fitter import RegressionFitter
from tests.fakes.regression_fitter import PseudoInverseFitter


@pytest.fixture(params=[StatsmodelsFitter, PseudoInverseFitter], ids=["statsmodels", "fake"])
def fitter(request: pytest.FixtureRequest) -> RegressionFitter:
    made: RegressionFitter = request.param()
    return made


def test_the_coefficients_and_their_covariance_are_those_of_the_normal_equations(
    fitter: RegressionFitter,
) -> None:
    random = np.random.default_rng(1)
    columns = np.column_stack([np.ones(200), random.normal(20, 5, 200), random.normal(0, 1, 200)])
    values = columns @ [100.0, 3.0, -7.0] + random.normal(0, 2, 200)
    found = fitter.fit(columns, values)
    inverse = np.linalg.inv(columns.T @ columns)
    coefficients = inverse @ columns.T @ values
    residuals = values - columns @ coefficients
    assert found.coefficients == pytest.approx(coefficients, rel=1e-9)
    assert found.residuals == pytest.approx(residuals, abs=1e-9)
    assert found.degrees_of_freedom == 197
    assert found.covariance == pytest.approx(inverse * (residuals @ residuals / 197), rel=1e-6, abs=1e-12)


def test_columns_that_depend_on_each_other_are_fitted_and_take_one_degree_of_freedom(
    fitter: RegressionFitter,
) -> None:
    ones = np.ones(50)
    values = np.arange(50.0)
    found = fitter.fit(np.column_stack([ones, ones, np.zeros(50)]), values)
    assert found.coefficients == pytest.approx([12.25, 12.25, 0.0], abs=1e-9)
    assert found.covariance[2] == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert found.degrees_of_freedom == 49


def test_columns_that_depend_on_each_other_but_for_rounding_have_the_coefficients_of_least_norm(
    fitter: RegressionFitter,
) -> None:
    random = np.random.default_rng(2)
    hours = (np.arange(400)[:, None] % 24 == np.arange(24)).astype(float)
    warm = np.full(
        400, 10.0 / 3.0
    )  # the part of the temperature below its lowest bound: the same in each hour
    columns = np.column_stack([hours, warm, random.normal(8, 3, 400)])
    values = columns @ random.normal(50, 10, 26) + random.normal(0, 1, 400)
    found = fitter.fit(columns, values)
    expected = np.linalg.lstsq(columns, values, rcond=None)[0]
    assert found.coefficients == pytest.approx(expected, rel=1e-6)
    assert found.residuals == pytest.approx(values - columns @ expected, abs=1e-9)
    assert found.degrees_of_freedom == 375


def test_a_fit_without_a_degree_of_freedom_is_refused(fitter: RegressionFitter) -> None:
    with pytest.raises(ValueError, match="no degree of freedom"):
        fitter.fit(np.eye(3), np.ones(3))
