"""Measurement of a facility's delivery: the program's baseline minus the meter, over the window; pure.

Telemetry is stored by quarter-hours, so the whole quarter-hours inside the window are measured, and the share
of the window that they cover is stated.
"""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

import msgspec

from application.commands.dispatch import (
    RecordMeasurement,
    RecordMeterVerification,
    RecordNotMeasurable,
    RecordRemeasurement,
    WithdrawMeasurement,
)
from domain.baseline import (
    Baseline,
    BaselineImpossible,
    InvalidBaselineRule,
    UnknownBaselineMethod,
    compute_baseline,
    rule_named,
)
from domain.dispatch import DispatchState, Interval
from domain.facility import FacilityState
from domain.telemetry.intervals import INTERVAL, INTERVAL_S, interval_start
from domain.time_series.digest import canonical
from domain.time_series.windows import IntervalSeries, TimeWindow, local_date

LOOK_BACK = timedelta(days=46)
"""The rules look back 45 days, and on the first of them also at the hours before the DR event."""
GIVE_UP_AFTER = timedelta(minutes=30)
"""How long after the end to wait for missing readings."""
VERIFIED_SHARE = 0.5
"""The share of the target that the meter has to show for the curtailment to count as verified."""

Measurement = RecordMeasurement | RecordNotMeasurable


class MeasuringBasis(msgspec.Struct, frozen=True, kw_only=True):
    """The agreed terms for one facility: its baseline method, and the days that are no candidates."""

    baseline_method: str
    tz: ZoneInfo
    dr_event_days: Collection[date]


def basis_of(facility: FacilityState, baseline_method: str, dispatch: DispatchState) -> MeasuringBasis:
    """The basis of a dispatch. Local days on which its facility serves any other DR event are no candidates.

    All days are those of the time zone in force at the start of the window.
    """
    tz = ZoneInfo(facility.tz_at(dispatch.starts_at))
    others = (starts_at for key, starts_at in facility.served.items() if key != str(dispatch.dr_event_id))
    return MeasuringBasis(
        baseline_method=baseline_method,
        tz=tz,
        dr_event_days=frozenset(local_date(starts_at, tz) for starts_at in others),
    )


def measured_window(starts_at: datetime, ends_at: datetime) -> TimeWindow | None:
    """The whole quarter-hours inside the window; None where there are none."""
    first = interval_start(starts_at)
    first += INTERVAL if first < starts_at else timedelta()
    last = interval_start(ends_at)
    return TimeWindow(first, last) if first < last else None


def readings_window(window: TimeWindow) -> TimeWindow:
    """The time range that the baseline of `window` may use."""
    return TimeWindow(window.starts_at - LOOK_BACK, window.ends_at)


def is_ready(now: datetime, ends_at: datetime, newest_reading_at: datetime | None) -> bool:
    """Whether the meters have reported past the end, or the wait for them is over."""
    reported = newest_reading_at is not None and newest_reading_at >= ends_at
    return reported or now >= ends_at + GIVE_UP_AFTER


def measurement_of(
    dispatch: DispatchState, metered: IntervalSeries, basis: MeasuringBasis, *, now: datetime
) -> Measurement | None:
    """The measurement of a dispatch that ran; None while missing intervals may still arrive.

    `metered` holds mean kW per quarter-hour over `readings_window`.
    """
    window = measured_window(dispatch.starts_at, dispatch.ends_at)
    if window is None:
        return _not_measurable(dispatch, "the window holds no whole quarter-hour")
    baseline = _baseline(metered, window, basis)
    if isinstance(baseline, str):
        return _not_measurable(dispatch, baseline)
    if baseline.missing and now < dispatch.ends_at + GIVE_UP_AFTER:
        return None
    if (delivered_kw := baseline.delivered_kw) is None:
        return _not_measurable(
            dispatch, f"none of the {len(baseline.intervals)} quarter-hours of the window was metered"
        )
    known = len(baseline.intervals) - len(baseline.missing)
    duration_s = (dispatch.ends_at - dispatch.starts_at).total_seconds()
    return RecordMeasurement(
        dr_event_id=dispatch.dr_event_id,
        facility_id=dispatch.facility_id,
        baseline_method=basis.baseline_method,
        days=tuple(day.isoformat() for day in baseline.days),
        adjustment_kind=baseline.adjustment.kind,
        adjustment_value=baseline.adjustment.value,
        adjustment_clipped=baseline.adjustment.clipped,
        intervals=_intervals(baseline),
        coverage_pct=round(100.0 * known * INTERVAL_S / duration_s, 3),
        delivered_kw=delivered_kw,
        data_hash=data_hash(metered),
        figures_hash=_figures_hash(baseline, basis),
    )


def verification_of(
    dispatch: DispatchState, metered: IntervalSeries, basis: MeasuringBasis, *, until: datetime
) -> RecordMeterVerification | None:
    """The verification by meter, if the meter shows at least half the target up to `until`."""
    window = measured_window(dispatch.starts_at, min(until, dispatch.ends_at))
    if window is None or dispatch.status not in {"committed", "verified_by_bms"}:
        return None
    baseline = _baseline(metered, window, basis)
    if isinstance(baseline, str) or baseline.missing or baseline.delivered_kw is None:
        return None
    if baseline.delivered_kw < VERIFIED_SHARE * dispatch.target_kw:
        return None
    return RecordMeterVerification(
        dr_event_id=dispatch.dr_event_id,
        facility_id=dispatch.facility_id,
        delivered_kw=baseline.delivered_kw,
        measured_at=window.ends_at,
    )


def data_hash(metered: IntervalSeries) -> str:
    """SHA-256 (hex) of the readings that a measurement was computed from."""
    return sha256(canonical(metered)).hexdigest()


def remeasurement_of(
    dispatch: DispatchState, metered: IntervalSeries, basis: MeasuringBasis, *, corrected_at: datetime
) -> RecordRemeasurement | WithdrawMeasurement:
    """Like `measurement_of`, for a dispatch that was measured before; it does not wait for readings."""
    found = measurement_of(dispatch, metered, basis, now=dispatch.ends_at + GIVE_UP_AFTER)
    if isinstance(found, RecordMeasurement):
        figures = {name: getattr(found, name) for name in RecordMeasurement.__struct_fields__}
        return RecordRemeasurement(**figures, corrected_at=corrected_at)
    return WithdrawMeasurement(
        dr_event_id=dispatch.dr_event_id,
        facility_id=dispatch.facility_id,
        corrected_at=corrected_at,
        reason=found.reason if found is not None else "the window holds nothing to measure",
    )


def _figures_hash(baseline: Baseline, basis: MeasuringBasis) -> str:
    """SHA-256 (hex) of the figures of a measurement, independent of other inputs."""
    said = (
        basis.baseline_method,
        [day.isoformat() for day in baseline.days],
        (baseline.adjustment.kind, baseline.adjustment.value, baseline.adjustment.clipped),
        _intervals(baseline),
    )
    return sha256(msgspec.json.encode(said)).hexdigest()


def _baseline(metered: IntervalSeries, window: TimeWindow, basis: MeasuringBasis) -> Baseline | str:
    """The baseline, or the reason why there is none."""
    try:
        rule = rule_named(basis.baseline_method)
        return compute_baseline(rule, metered, window, tz=basis.tz, dr_event_days=basis.dr_event_days)
    except (BaselineImpossible, UnknownBaselineMethod, InvalidBaselineRule) as error:
        return str(error)


def _intervals(baseline: Baseline) -> tuple[Interval, ...]:
    return tuple(
        Interval(
            starts_at=interval.starts_at,
            baseline_kw=interval.baseline_kw,
            adjusted_kw=interval.adjusted_kw,
            metered_kw=interval.metered_kw,
            delivered_kw=interval.delivered_kw,
        )
        for interval in baseline.intervals
    )


def _not_measurable(dispatch: DispatchState, reason: str) -> RecordNotMeasurable:
    return RecordNotMeasurable(
        dr_event_id=dispatch.dr_event_id, facility_id=dispatch.facility_id, reason=reason
    )
