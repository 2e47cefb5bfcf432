"""A measurement, computed again by the code that measures; pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose
from zoneinfo import ZoneInfo

import numpy as np
from msgspec.structs import replace

from application.commands.dispatch import RecordMeasurement
from application.ledger.proof_measurements import ProvenMeasurement
from application.ledger.proof_seals import CheckedDay
from application.ledger.recomputation.differences import MOST_NAMED, FigureDifference, recorded_values
from application.measurement.baseline import ExplainedBaseline, RegressionInputs
from application.measurement.basis import MeasuringBasis
from application.measurement.figures import figures_of
from application.measurement.measure import IMPOSSIBLE, TEMPERATURES_UNTIL, measured_window, measurement_of
from application.ports.regression_fitter import RegressionFitter
from domain.baseline import compute_baseline, rule_named
from domain.baseline.regression.uncertainty import savings_uncertainty
from domain.baseline.used_readings import LOOKED_AT
from domain.dispatch import MeasurementFigures
from domain.telemetry.day_digest import FacilityValues
from domain.time_series.windows import IntervalSeries, TimeWindow, local_date

REFIT = 1e-6
"""Relative; and absolute in kW or kW per kelvin. Libraries solve least squares in different ways."""


def measured_again(
    measured: ProvenMeasurement, metered: IntervalSeries, basis: MeasuringBasis
) -> MeasurementFigures | str:
    """The figures by `basis` from `metered`; a regression from the coefficients that were recorded. Else, why there are
    none."""
    if basis.baseline_method == "regression" and measured.figures.regression is not None:
        return _by_regression(measured, metered, basis)
    found = measurement_of(
        measured.dispatch, metered, basis, now=measured.dispatch.ends_at + TEMPERATURES_UNTIL
    )
    if isinstance(found, RecordMeasurement):
        return found.figures
    return "not measurable from these values" if found is None else f"not measurable: {found.reason}"


def _by_regression(
    measured: ProvenMeasurement, metered: IntervalSeries, basis: MeasuringBasis
) -> MeasurementFigures | str:
    dispatch, recorded = measured.dispatch, measured.figures
    window = measured_window(dispatch.starts_at, dispatch.ends_at)
    if window is None or recorded.regression is None:
        return "not measurable: the window holds no whole quarter-hour"
    try:
        rule = rule_named(basis.baseline_method, basis.parameters)
        baseline = compute_baseline(
            rule, metered, window, tz=basis.tz, holidays=basis.holidays, regression=recorded.regression
        )
    except IMPOSSIBLE as error:
        return f"not measurable: {error}"
    baseline = replace(baseline.clipped if basis.clip_delivery else baseline, skipped=recorded.skipped)
    if baseline.delivered_kw is None:
        return "not measurable: no quarter-hour of the window was metered"
    explained = ExplainedBaseline(
        baseline=baseline,
        regression=recorded.regression,
        uncertainty=savings_uncertainty(recorded.regression, baseline, basis.tz, basis.holidays),
    )
    return figures_of(dispatch, rule, metered, explained, basis=basis, delivered_kw=baseline.delivered_kw)


def refit_differences(
    measured: ProvenMeasurement,
    metered: IntervalSeries,
    values: FacilityValues,
    basis: MeasuringBasis,
    fitter: RegressionFitter,
) -> tuple[FigureDifference, ...]:
    """Coefficients that another fit of the same readings and temperatures does not give."""
    recorded = measured.figures.regression
    if recorded is None:
        return ()
    span = TimeWindow(metered.starts_at, metered.ends_at)
    all_c = IntervalSeries(values.kw.starts_at, values.kw.step_s, values.temp_c)
    temperatures = IntervalSeries(metered.starts_at, metered.step_s, all_c.slice(span))
    found = measurement_of(
        measured.dispatch,
        metered,
        basis,
        now=measured.dispatch.ends_at + TEMPERATURES_UNTIL,
        inputs=RegressionInputs(fitter=fitter, temperatures=temperatures),
    )
    again = found.figures.regression if isinstance(found, RecordMeasurement) else None
    pairs = zip(recorded.coefficients, () if again is None else again.coefficients, strict=False)
    if (
        again is not None
        and len(again.coefficients) == len(recorded.coefficients)
        and all(isclose(one, other, rel_tol=REFIT, abs_tol=REFIT) for one, other in pairs)
    ):
        return ()
    return (
        FigureDifference(
            what="coefficients of the regression",
            recorded=str(recorded.coefficients),
            recomputed="none" if again is None else str(again.coefficients),
        ),
    )


def temperature_differences(
    figures: MeasurementFigures, window: TimeWindow, values: FacilityValues
) -> tuple[FigureDifference, ...]:
    """Temperatures of the window that a regression recorded otherwise than the file has them."""
    if figures.regression is None:
        return ()
    known = IntervalSeries(values.kw.starts_at, values.kw.step_s, values.temp_c)
    in_file = [None if np.isnan(one) else float(one) for one in known.slice(window)]
    return tuple(
        FigureDifference(
            what="temperature of",
            where=f"{starts_at:%Y-%m-%d %H:%MZ}",
            recorded=str(recorded),
            recomputed=str(found),
        )
        for starts_at, recorded, found in zip(
            known.starts(window), figures.regression.temperatures_c, in_file, strict=True
        )
        if recorded != found
    )


def unlike_values(
    figures: MeasurementFigures, metered: IntervalSeries, tz: ZoneInfo, days: Sequence[CheckedDay]
) -> str:
    """Why the values in the file are no longer those that were used, where every change of them is explained: by
    retention, which removes everything before a moment, or by a later seal of their day. Else nothing."""
    first_at = metered.first_value_at or metered.ends_at
    corrected = {day.day: day.position for day in days if day.state == "corrected_since"}
    gone, changed = 0, set()
    for starts_at, kw in recorded_values(figures, tz):
        value = metered.at(starts_at)
        if kw == (None if np.isnan(value) else value):
            continue
        if starts_at < first_at:
            gone += 1
        elif (day := local_date(starts_at, tz)) in corrected:
            changed.add(day)
        else:
            return ""
    reasons = []
    if gone:
        reasons.append(
            f"{gone} of the values that it used, before {first_at:%Y-%m-%d %H:%MZ}, are not stored any more"
        )
    if changed:
        sealed = ", ".join(f"{day} (position {corrected[day]})" for day in sorted(changed))
        reasons.append(
            f"readings were corrected since, and sealed again: {sealed}; those that it used are gone"
        )
    return "; ".join(reasons)


def unlike_days(
    recorded: MeasurementFigures,
    found: MeasurementFigures,
    metered: IntervalSeries,
    tz: ZoneInfo,
    changed: Sequence[CheckedDay],
) -> str:
    """Why other values were used than the file has, where none of the recorded ones differs: of a day that was skipped,
    and of the training of a regression, only the digest is recorded. `changed` are the earlier days whose values may
    have changed since. Else nothing."""
    if recorded.data_hash == found.data_hash or any(
        kw != (None if np.isnan(value := metered.at(starts_at)) else value)
        for starts_at, kw in recorded_values(recorded, tz)
    ):
        return ""
    skipped = {one.day for one in recorded.skipped if one.why in LOOKED_AT}
    days = [one for one in changed if recorded.regression is not None or one.day in skipped]
    if not days:
        return ""
    named = ", ".join(f"{one.day} ({_since(one)})" for one in days[:MOST_NAMED])
    more = f" and {len(days) - MOST_NAMED} more" if len(days) > MOST_NAMED else ""
    what = "training" if recorded.regression is not None else "days that it skipped"
    return f"readings of its {what} were corrected since, or are not stored any more: {named}{more}"


def _since(day: CheckedDay) -> str:
    return "gone" if day.state == "gone" else f"position {day.position}"
