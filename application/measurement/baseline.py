"""The baseline of a window by any rule: a regression is fitted first, by the port."""

from collections.abc import Collection
from datetime import date
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from application.ports.regression_fitter import RegressionFitter
from domain.baseline import Baseline, BaselineRule, compute_baseline
from domain.baseline.expected_error import ExpectedError, expected_error
from domain.baseline.regression.model import RegressionFigures, hour_of_week
from domain.baseline.regression.training import (
    figures_of,
    model_columns,
    model_terms,
    occupancy_columns,
    training_hours,
)
from domain.baseline.regression.uncertainty import SavingsUncertainty, savings_uncertainty
from domain.baseline.result import SkippedDay
from domain.baseline.rules import RegressionRule
from domain.time_series.windows import IntervalSeries, TimeWindow


class ExplainedBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline with what is known of its error: of a regression its figures and the uncertainty of the delivered
    power, of another method the error on the facility's days without a DR event.
    """

    baseline: Baseline
    regression: RegressionFigures | None = None
    uncertainty: SavingsUncertainty | None = None
    expected_error: ExpectedError | None = None


def explained_baseline(
    rule: BaselineRule,
    metered: IntervalSeries,
    window: TimeWindow,
    *,
    tz: ZoneInfo,
    fitter: RegressionFitter,
    temperatures: IntervalSeries | None = None,
    dr_event_days: Collection[date] = (),
    holidays: Collection[date] = (),
) -> ExplainedBaseline:
    """As `compute_baseline`, with the same errors. `temperatures` (degrees Celsius) has the steps of `metered`."""
    if not isinstance(rule, RegressionRule):
        found = compute_baseline(rule, metered, window, tz=tz, dr_event_days=dr_event_days, holidays=holidays)
        error = expected_error(rule, metered, window, tz=tz, dr_event_days=dr_event_days, holidays=holidays)
        return ExplainedBaseline(baseline=found, expected_error=error)
    if temperatures is None:
        temperatures = IntervalSeries(metered.starts_at, metered.step_s, np.full(len(metered.values), np.nan))
    figures, skipped = _fitted(
        rule,
        metered,
        window,
        tz=tz,
        fitter=fitter,
        temperatures=temperatures,
        dr_event_days=dr_event_days,
        holidays=holidays,
    )
    found = compute_baseline(rule, metered, window, tz=tz, holidays=holidays, regression=figures)
    return ExplainedBaseline(
        baseline=msgspec.structs.replace(found, skipped=skipped),
        regression=figures,
        uncertainty=savings_uncertainty(figures, found, tz, holidays),
    )


def _fitted(
    rule: RegressionRule,
    metered: IntervalSeries,
    window: TimeWindow,
    *,
    tz: ZoneInfo,
    fitter: RegressionFitter,
    temperatures: IntervalSeries,
    dr_event_days: Collection[date],
    holidays: Collection[date],
) -> tuple[RegressionFigures, tuple[SkippedDay, ...]]:
    training = training_hours(
        rule, metered, temperatures, window, tz=tz, dr_event_days=dr_event_days, holidays=holidays
    )
    terms = model_terms(training, fitter.fit(occupancy_columns(training), training.load_kw))
    fit = fitter.fit(model_columns(training, terms), training.load_kw)
    known = temperatures.slice(window)
    figures = figures_of(
        training,
        terms,
        fit,
        window_hours={hour_of_week(at, tz, holidays) for at in metered.starts(window)},
        temperatures_c=[None if np.isnan(value) else float(value) for value in known],
    )
    return figures, training.skipped
