"""The figures of a measurement, with everything that they came from (ADR 0074); pure."""

from collections.abc import Collection
from datetime import date, timedelta
from hashlib import sha256

import msgspec

from application.measurement.baseline import ExplainedBaseline
from application.measurement.basis import MeasuringBasis
from domain.baseline import Adjustment, Baseline, BaselineRule
from domain.baseline.expected_error import expected_error
from domain.baseline.used_readings import readings_digest, used_readings
from domain.dispatch import AdjustmentFigures, DispatchState, Interval, MeasuredDay, MeasurementFigures
from domain.event_sourcing.decoders import converted
from domain.telemetry.intervals import INTERVAL_S
from domain.time_series.windows import IntervalSeries, local_date


def figures_of(
    dispatch: DispatchState,
    rule: BaselineRule,
    metered: IntervalSeries,
    explained: ExplainedBaseline,
    *,
    basis: MeasuringBasis,
    delivered_kw: float,
) -> MeasurementFigures:
    """The figures of the baseline that `rule` gave for the quarter-hours `metered`."""
    baseline = explained.baseline
    window = baseline.window
    known = len(baseline.intervals) - len(baseline.missing)
    duration_s = (dispatch.ends_at - dispatch.starts_at).total_seconds()
    today = local_date(window.starts_at, basis.tz)
    return MeasurementFigures(
        baseline_method=basis.baseline_method,
        parameters=basis.parameters,
        tz=basis.tz.key,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        days=tuple(
            MeasuredDay(
                day=candidate.day.isoformat(),
                use=candidate.use,
                mean_kw=candidate.mean_kw,
                window_kw=candidate.window_kw,
                adjustment_kw=candidate.adjustment_kw,
            )
            for candidate in baseline.candidates
        ),
        skipped=baseline.skipped,
        adjustment=_adjustment(baseline.adjustment),
        intervals=_intervals(baseline),
        coverage_pct=round(100.0 * known * INTERVAL_S / duration_s, 3),
        delivered_kw=delivered_kw,
        clip_delivery=basis.clip_delivery,
        holidays=_looked_back(basis.holidays, today, basis.look_back_days),
        holidays_of=basis.holidays_of,
        dr_event_days=_looked_back(basis.dr_event_days, today, basis.look_back_days),
        data_hash=readings_digest(used_readings(rule, metered, baseline, basis.tz)),
        figures_hash=_figures_hash(baseline, basis),
        regression=explained.regression,
        uncertainty=explained.uncertainty,
        expected_error=expected_error(
            rule,
            metered,
            window,
            tz=basis.tz,
            dr_event_days=basis.dr_event_days,
            holidays=basis.holidays,
        ),
    )


def _looked_back(days: Collection[date], today: date, look_back_days: int) -> tuple[date, ...]:
    """The readings of the look-back and the day itself."""
    first = today - timedelta(days=look_back_days)
    return tuple(sorted(day for day in days if first <= day <= today))


def _adjustment(adjustment: Adjustment) -> AdjustmentFigures:
    return converted(adjustment, AdjustmentFigures, from_attributes=True)


def _figures_hash(baseline: Baseline, basis: MeasuringBasis) -> str:
    """SHA-256 (hex)."""
    said = (
        basis.baseline_method,
        [day.isoformat() for day in baseline.days],
        (baseline.adjustment.kind, baseline.adjustment.value, baseline.adjustment.clipped),
        _intervals(baseline),
    )
    return sha256(msgspec.json.encode(said)).hexdigest()


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
