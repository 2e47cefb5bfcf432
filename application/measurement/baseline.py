"""The baseline of a window by any rule: a regression is fitted first, by the port."""

from collections.abc import Collection
from datetime import date
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from application.ports.regression_fitter import RegressionFitter
from domain.baseline import Baseline, BaselineImpossible, BaselineRule, compute_baseline
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


class RegressionInputs(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The inputs of a baseline by regression besides the load."""

    fitter: RegressionFitter
    temperatures: IntervalSeries
    """Degrees Celsius on the steps of the load; NaN where unknown."""


class ExplainedBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline; of a regression also its figures and the uncertainty of the delivered power."""

    baseline: Baseline
    regression: RegressionFigures | None = None
    uncertainty: SavingsUncertainty | None = None


def explained_baseline(
    rule: BaselineRule,
    metered: IntervalSeries,
    window: TimeWindow,
    *,
    tz: ZoneInfo,
    inputs: RegressionInputs | None = None,
    dr_event_days: Collection[date] = (),
    holidays: Collection[date] = (),
    clip_delivery: bool = False,
) -> ExplainedBaseline:
    """As `compute_baseline`, with the same errors; a regression is fitted first."""
    regression: RegressionFigures | None = None
    skipped: tuple[SkippedDay, ...] = ()
    if isinstance(rule, RegressionRule):
        if inputs is None:
            raise BaselineImpossible("`regression` needs outdoor temperatures, and none were given")
        regression, skipped = _fitted(
            rule, metered, window, tz=tz, inputs=inputs, dr_event_days=dr_event_days, holidays=holidays
        )
    found = compute_baseline(
        rule,
        metered,
        window,
        tz=tz,
        dr_event_days=dr_event_days,
        holidays=holidays,
        regression=regression,
    )
    found = found.clipped if clip_delivery else found
    if regression is None:
        return ExplainedBaseline(baseline=found)
    found = msgspec.structs.replace(found, skipped=skipped)
    uncertainty = savings_uncertainty(regression, found, tz, holidays)
    return ExplainedBaseline(baseline=found, regression=regression, uncertainty=uncertainty)


def _fitted(
    rule: RegressionRule,
    metered: IntervalSeries,
    window: TimeWindow,
    *,
    tz: ZoneInfo,
    inputs: RegressionInputs,
    dr_event_days: Collection[date],
    holidays: Collection[date],
) -> tuple[RegressionFigures, tuple[SkippedDay, ...]]:
    training = training_hours(
        rule, metered, inputs.temperatures, window, tz=tz, dr_event_days=dr_event_days, holidays=holidays
    )
    fit = inputs.fitter.fit
    terms = model_terms(training, fit(occupancy_columns(training), training.load_kw).residuals)
    figures = figures_of(
        training,
        terms,
        fit(model_columns(training, terms), training.load_kw),
        window_hours={hour_of_week(at, tz, holidays) for at in metered.starts(window)},
        temperatures_c=[
            None if np.isnan(value) else float(value) for value in inputs.temperatures.slice(window)
        ],
    )
    return figures, training.skipped
