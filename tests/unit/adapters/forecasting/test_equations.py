"""The batched regressions compared with statsmodels, which fits one facility at a time.

It is imported where it is used: that takes 2 s, also in each process that only collects the tests.
"""

import numpy as np
import pytest

from adapters.forecasting.calendar.local_week import HOURS_A_WEEK, IntArray
from adapters.forecasting.models.autoregression import LAGS_H, lagged, predict_hourly, without_lags
from adapters.forecasting.models.normal_equations import NormalEquations
from domain.time_series.windows import FloatArray

FACILITIES, HOURS, DENSE = 2, 6 * HOURS_A_WEEK, 4
WEEK_RIDGE = 0.3
DENSE_RIDGE = np.array([1e-3, 2.0, 2.0, 5.0])


def made() -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Hours of the week, dense columns, loads with gaps, and weights."""
    drawn = np.random.default_rng(3)
    week = np.stack([(np.arange(HOURS) + 5 * i) % HOURS_A_WEEK for i in range(FACILITIES)])
    dense = drawn.normal(size=(FACILITIES, HOURS, DENSE))
    dense[:, :, 0] = 1.0
    load = 100 + 30 * np.sin(week / 24 * 2 * np.pi) + dense[:, :, 1] * 7 + drawn.normal(size=week.shape)
    load[drawn.random(week.shape) < 0.05] = np.nan
    weights = np.exp2(-np.arange(HOURS)[::-1] / 700) * np.ones((FACILITIES, 1))
    return week, dense, load, weights


def one_hot(week: IntArray) -> FloatArray:
    found: FloatArray = np.eye(HOURS_A_WEEK)[week]
    return found


def test_the_batched_solver_agrees_with_statsmodels_to_1e_8() -> None:
    from statsmodels.regression.linear_model import (
        WLS,
    )  # takes 2 s, which each process would pay that collects

    week, dense, load, weights = made()
    equations = NormalEquations(FACILITIES, DENSE)
    equations.add(week, dense, load, weights)
    found = equations.solve(WEEK_RIDGE, DENSE_RIDGE)
    ridge = np.concatenate([np.full(HOURS_A_WEEK, WEEK_RIDGE), DENSE_RIDGE])
    for row in range(FACILITIES):
        known = np.isfinite(load[row])
        columns = np.hstack([one_hot(week[row]), dense[row]])[known]
        # A ridge is a row with target 0 for its coefficient, with the ridge as weight.
        rows = np.vstack([columns, np.eye(len(ridge))])
        target = np.concatenate([load[row, known], np.zeros(len(ridge))])
        fitted = WLS(target, rows, weights=np.concatenate([weights[row, known], ridge])).fit(method="qr")
        ours = np.concatenate([found.week[row], found.dense[row]])
        assert ours == pytest.approx(fitted.params, rel=1e-8, abs=1e-8)
        assert found.fitted(week, dense)[row, known] == pytest.approx(columns @ fitted.params, rel=1e-8)


def test_adding_days_one_by_one_gives_the_solution_of_all_at_once() -> None:
    week, dense, load, weights = made()
    whole, daily = NormalEquations(FACILITIES, DENSE), NormalEquations(FACILITIES, DENSE)
    whole.add(week, dense, load, weights)
    for first in range(0, HOURS, 24):
        day = slice(first, first + 24)
        daily.add(week[:, day], dense[:, day], load[:, day], weights[:, day])
    both = [one.solve(WEEK_RIDGE, DENSE_RIDGE) for one in (whole, daily)]
    assert both[1].week == pytest.approx(both[0].week, rel=1e-9)
    assert both[1].dense == pytest.approx(both[0].dense, rel=1e-9)


def test_the_autoregression_agrees_with_statsmodels() -> None:
    from statsmodels.tsa.ar_model import AutoReg

    week, dense, load, _ = made()
    load = np.where(np.isfinite(load), load, 100.0)
    count, ahead = HOURS - 48, slice(HOURS - 48, HOURS)
    equations = NormalEquations(FACILITIES, len(LAGS_H) + DENSE)
    columns = np.concatenate([lagged(load, 0, count), dense[:, :count]], axis=2)
    equations.add(week[:, :count], columns, load[:, :count], np.ones((FACILITIES, count)))
    # The level and the hours of the week are collinear: without any ridge one of them would be undetermined.
    ridge = np.zeros(len(LAGS_H) + DENSE)
    ridge[len(LAGS_H)] = 1e6
    found = equations.solve(1e-10, ridge)
    said = predict_hourly(found, load[:, :count], without_lags(found).fitted(week[:, ahead], dense[:, ahead]))
    for row in range(FACILITIES):
        outside = np.hstack([one_hot(week[row]), dense[row, :, 1:]])
        fitted = AutoReg(load[row, :count], lags=list(LAGS_H), trend="n", exog=outside[:count]).fit()
        ours = np.concatenate([found.dense[row, : len(LAGS_H)], found.week[row]])
        assert ours == pytest.approx(fitted.params[: len(ours)], rel=1e-4, abs=1e-4)
        reference = fitted.forecast(48, exog=outside[count:])
        assert said[row] == pytest.approx(np.asarray(reference), rel=1e-4)
