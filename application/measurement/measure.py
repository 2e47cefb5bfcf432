"""Measurement of a facility's delivery: the program's baseline minus the meter, over the window; pure.

Telemetry is stored by quarter-hours, so the whole quarter-hours inside the window are measured, and the share
of the window that they cover is stated.
"""

from datetime import datetime, timedelta

from application.commands.dispatch import (
    RecordMeasurement,
    RecordMeterVerification,
    RecordNotMeasurable,
    RecordRemeasurement,
    WithdrawMeasurement,
)
from application.measurement.baseline import ExplainedBaseline, RegressionInputs, explained_baseline
from application.measurement.basis import MeasuringBasis
from application.measurement.figures import figures_of
from domain.baseline import (
    BaselineImpossible,
    BaselineRule,
    InvalidBaselineRule,
    UnknownBaselineMethod,
    rule_named,
)
from domain.baseline.result import TemperatureMissing
from domain.dispatch import MEASURED_WITHIN, DispatchState
from domain.telemetry.intervals import whole_intervals
from domain.time_series.windows import IntervalSeries, NotAligned, TimeWindow

GIVE_UP_AFTER = timedelta(minutes=30)
"""How long after the end to wait for missing readings."""
TEMPERATURES_UNTIL = MEASURED_WITHIN
"""How long after the end to wait for the outdoor temperatures of the window, where the method needs them. Those of a
weather cell are final with the first daily report after their UTC day has been over for a day: 73 hours, with a margin
of three."""
VERIFIED_SHARE = 0.5
"""The share of the target that the meter has to show for the curtailment to count as verified."""
IMPOSSIBLE = (BaselineImpossible, UnknownBaselineMethod, InvalidBaselineRule, NotAligned)
"""Errors that say why there is no baseline."""

Measurement = RecordMeasurement | RecordNotMeasurable


def measured_window(starts_at: datetime, ends_at: datetime) -> TimeWindow | None:
    """The whole quarter-hours inside the window; None where there are none."""
    return whole_intervals(starts_at, ends_at)


def readings_window(window: TimeWindow, look_back_days: int) -> TimeWindow:
    """The time range that the baseline of `window` may use: on the first day also the hours before."""
    return TimeWindow(window.starts_at - timedelta(days=look_back_days + 1), window.ends_at)


def is_ready(now: datetime, ends_at: datetime, newest_reading_at: datetime | None) -> bool:
    """True if the meters have reported past the end, or the wait for them is over."""
    reported = newest_reading_at is not None and newest_reading_at >= ends_at
    return reported or now >= ends_at + GIVE_UP_AFTER


def measurement_of(
    dispatch: DispatchState,
    metered: IntervalSeries,
    basis: MeasuringBasis,
    *,
    now: datetime,
    inputs: RegressionInputs | None = None,
) -> Measurement | None:
    """The measurement of a dispatch that ran; None while missing intervals or temperatures may still arrive.

    `metered` holds mean kW per quarter-hour over `readings_window`; `inputs` are those of a regression.
    """
    window = measured_window(dispatch.starts_at, dispatch.ends_at)
    if window is None:
        return _not_measurable(dispatch, "the window holds no whole quarter-hour")
    try:
        rule, explained = _baseline(metered, window, basis, inputs)
    except TemperatureMissing as error:
        return None if now < dispatch.ends_at + TEMPERATURES_UNTIL else _not_measurable(dispatch, str(error))
    except IMPOSSIBLE as error:
        return _not_measurable(dispatch, str(error))
    baseline = explained.baseline
    if baseline.missing and now < dispatch.ends_at + GIVE_UP_AFTER:
        return None
    if (delivered_kw := baseline.delivered_kw) is None:
        return _not_measurable(
            dispatch, f"none of the {len(baseline.intervals)} quarter-hours of the window was metered"
        )
    return RecordMeasurement(
        dr_event_id=dispatch.dr_event_id,
        facility_id=dispatch.facility_id,
        figures=figures_of(dispatch, rule, metered, explained, basis=basis, delivered_kw=delivered_kw),
    )


def verification_of(
    dispatch: DispatchState,
    metered: IntervalSeries,
    basis: MeasuringBasis,
    *,
    until: datetime,
    inputs: RegressionInputs | None = None,
) -> RecordMeterVerification | None:
    """The verification by meter, if the meter shows at least half the target up to `until`."""
    window = measured_window(dispatch.starts_at, min(until, dispatch.ends_at))
    if window is None or dispatch.status not in {"committed", "verified_by_bms"}:
        return None
    try:
        baseline = _baseline(metered, window, basis, inputs)[1].baseline
    except IMPOSSIBLE:
        return None
    if baseline.missing or baseline.delivered_kw is None:
        return None
    if baseline.delivered_kw < VERIFIED_SHARE * dispatch.target_kw:
        return None
    return RecordMeterVerification(
        dr_event_id=dispatch.dr_event_id,
        facility_id=dispatch.facility_id,
        delivered_kw=baseline.delivered_kw,
        measured_at=window.ends_at,
    )


def remeasurement_of(
    dispatch: DispatchState,
    metered: IntervalSeries,
    basis: MeasuringBasis,
    *,
    corrected_at: datetime,
    inputs: RegressionInputs | None = None,
) -> RecordRemeasurement | WithdrawMeasurement:
    """Like `measurement_of`, for a dispatch that was measured before; it waits for nothing."""
    found = measurement_of(dispatch, metered, basis, now=dispatch.ends_at + TEMPERATURES_UNTIL, inputs=inputs)
    if isinstance(found, RecordMeasurement):
        return RecordRemeasurement(
            dr_event_id=dispatch.dr_event_id,
            facility_id=dispatch.facility_id,
            figures=found.figures,
            corrected_at=corrected_at,
            reason="readings were corrected",
        )
    return WithdrawMeasurement(
        dr_event_id=dispatch.dr_event_id,
        facility_id=dispatch.facility_id,
        corrected_at=corrected_at,
        reason=found.reason if found is not None else "the window holds nothing to measure",
    )


def _baseline(
    metered: IntervalSeries, window: TimeWindow, basis: MeasuringBasis, inputs: RegressionInputs | None
) -> tuple[BaselineRule, ExplainedBaseline]:
    """The rule and its baseline. Raises one of IMPOSSIBLE."""
    rule = rule_named(basis.baseline_method, basis.parameters)
    return rule, explained_baseline(
        rule,
        metered,
        window,
        tz=basis.tz,
        inputs=inputs,
        dr_event_days=basis.dr_event_days,
        holidays=basis.holidays,
        clip_delivery=basis.clip_delivery,
    )


def _not_measurable(dispatch: DispatchState, reason: str) -> RecordNotMeasurable:
    return RecordNotMeasurable(
        dr_event_id=dispatch.dr_event_id, facility_id=dispatch.facility_id, reason=reason
    )
