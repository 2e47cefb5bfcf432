"""The training of the regression: its hours, its occupied hours, its columns, and the reduction to a window."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.baseline.regression.model import (
    HOUR_S,
    HOURS_A_WEEK,
    HourTerm,
    RegressionFigures,
    clock_hours,
    hour_of_week,
    hourly_mean,
    name_of,
    require_temperatures,
    temperature_components,
)
from domain.baseline.result import BaselineImpossible, SkippedDay, TooFewBaselineDays
from domain.baseline.rules import RegressionRule
from domain.time_series.windows import FloatArray, IntervalSeries, TimeWindow, local_date, local_day

OCCUPANCY_CHANGE_POINTS_C = (10.0, 18.333)
"""50 and 65 degrees Fahrenheit, of the regression that finds the occupied hours."""
OCCUPIED_SHARE = 0.65
"""An hour of the week is occupied if more than this share of its loads lies above that regression."""
SEGMENTS = 6
"""Of the temperatures in occupied hours, with equal numbers of hours in each."""
LEAST_SEGMENT_K = 0.5
FEWEST_DAYS = 21
FEWEST_HOURS = 3
"""Of each hour of the week that the window contains."""
MOST_AUTOCORRELATION = 0.98

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class TrainingHours(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Local hours before the day of the window with their load and temperature: arrays of shape (n,)."""

    window: TimeWindow
    hour: IntArray
    """Hours since 1970."""
    week: IntArray
    """The hour of the local week."""
    load_kw: FloatArray
    temp_c: FloatArray
    skipped: tuple[SkippedDay, ...]
    """Days without a usable hour, the most recent first."""


DayHours = tuple[IntArray, IntArray, FloatArray, FloatArray]
"""The usable hours of a local day: hour since 1970, hour of the week, load, temperature."""
DayCache = dict[date, DayHours | SkippedDay]
"""Of one facility and one calendar: what its days gave, so that many windows read each day once."""


class LinearFit(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A least-squares fit: `coefficients` (k,), their `covariance` (k, k), `residuals` (n,)."""

    coefficients: FloatArray
    covariance: FloatArray
    residuals: FloatArray
    degrees_of_freedom: int
    """n minus the rank of the columns."""


class ModelTerms(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The columns of the fit: hours of the week, then the segments, then the temperature elsewhere."""

    weeks: IntArray
    """The hours of the week that occur in the training, rising."""
    occupied: BoolArray
    """Shape (168,)."""
    change_points_c: tuple[float, ...]


def training_hours(
    rule: RegressionRule,
    metered: IntervalSeries,
    temperatures: IntervalSeries,
    window: TimeWindow,
    *,
    tz: ZoneInfo,
    dr_event_days: Collection[date] = (),
    holidays: Collection[date] = (),
    cache: DayCache | None = None,
) -> TrainingHours:
    """The hours of the `lookback_days` local days before the day of `window`, without days of DR events.

    An hour counts if every step of its load and one of its temperatures is known. Raises TooFewBaselineDays, or
    BaselineImpossible for readings of longer steps than an hour, without temperatures, or on too few weeks, and
    TemperatureMissing for a window without.
    """
    if metered.step_s > HOUR_S or HOUR_S % metered.step_s:
        raise BaselineImpossible(
            f"`regression` needs readings of an hour or a whole part of it, not of {metered.step_s} s"
        )
    if np.isnan(temperatures.values).all():
        raise BaselineImpossible(
            "`regression` needs outdoor temperatures: the readings have none (column temp_c of a readings file, or the "
            "weather service)"
        )
    starts = metered.starts(window)
    # Before the days are counted: the most recent of them may come with the temperatures of the window.
    require_temperatures(starts, hourly_mean(clock_hours(starts, tz), temperatures.slice(window)), tz)
    today = local_date(window.starts_at, tz)
    days: list[DayHours] = []
    by_day: DayCache = {} if cache is None else cache
    skipped: list[SkippedDay] = []
    for back in range(1, rule.lookback_days + 1):
        day = today - timedelta(days=back)
        if day in dr_event_days:
            skipped.append(SkippedDay(day, "dr_event_day"))
            continue
        if day not in by_day:
            by_day[day] = _hours_of(day, metered, temperatures, tz, holidays)
        if isinstance(hours := by_day[day], SkippedDay):
            skipped.append(hours)
        else:
            days.append(hours)
    if len(days) < FEWEST_DAYS:
        raise TooFewBaselineDays(len(days), FEWEST_DAYS, rule.lookback_days, tuple(skipped))
    hour, week, load_kw, temp_c = (np.concatenate(parts) for parts in zip(*reversed(days), strict=True))
    first = local_day(today - timedelta(days=rule.lookback_days), tz).starts_at
    training = TrainingHours(
        window=TimeWindow(first, local_day(today, tz).starts_at),
        hour=hour,
        week=week,
        load_kw=load_kw,
        temp_c=temp_c,
        skipped=tuple(skipped),
    )
    _require_hours(training, {hour_of_week(at, tz, holidays) for at in starts})
    return training


def occupancy_columns(training: TrainingHours) -> FloatArray:
    """The columns of the regression that finds the occupied hours: temperature with two change points."""
    components = temperature_components(training.temp_c, OCCUPANCY_CHANGE_POINTS_C)
    return np.column_stack([np.ones(len(components)), components])


def model_terms(training: TrainingHours, residuals: FloatArray) -> ModelTerms:
    """The occupied hours by the residuals of the occupancy regression, and the change points of their temperatures."""
    above = np.bincount(training.week, weights=residuals > 0, minlength=HOURS_A_WEEK)
    counts = np.bincount(training.week, minlength=HOURS_A_WEEK)
    occupied: BoolArray = above > OCCUPIED_SHARE * counts
    return ModelTerms(
        weeks=np.unique(training.week),
        occupied=occupied,
        change_points_c=_change_points(training.temp_c[occupied[training.week]]),
    )


def model_columns(training: TrainingHours, terms: ModelTerms) -> FloatArray:
    """The columns of the fit, shape (n, terms)."""
    is_hour = (training.week[:, None] == terms.weeks).astype(np.float64)
    return np.column_stack([is_hour, temperature_columns(terms, training.week, training.temp_c)])


def temperature_columns(terms: ModelTerms, week: IntArray, temp_c: FloatArray) -> FloatArray:
    """The columns after those of the hours of the week: the segments in occupied hours, the temperature in others."""
    occupied = terms.occupied[week]
    components = temperature_components(temp_c, terms.change_points_c) * occupied[:, None]
    return np.column_stack([components, temp_c * ~occupied])


def figures_of(
    training: TrainingHours,
    terms: ModelTerms,
    fit: LinearFit,
    *,
    window_hours: Collection[int],
    temperatures_c: Sequence[float | None],
) -> RegressionFigures:
    """The fit reduced to `window_hours` (hours of the week) and the temperature terms, rounded for the record."""
    weeks = sorted(window_hours)
    segments = len(terms.change_points_c) + 1
    used = [*np.searchsorted(terms.weeks, weeks), *range(len(terms.weeks), len(terms.weeks) + segments + 1)]
    coefficients = [_rounded(value, 9) for value in fit.coefficients[used]]
    covariance = fit.covariance[np.ix_(used, used)]
    lower = covariance[np.tril_indices(len(used))]
    values = coefficients[: len(weeks)]
    return RegressionFigures(
        hours=tuple(
            HourTerm(week, bool(terms.occupied[week]), kw) for week, kw in zip(weeks, values, strict=True)
        ),
        change_points_c=terms.change_points_c,
        occupied_kw_per_k=tuple(coefficients[len(weeks) : -1]),
        unoccupied_kw_per_k=coefficients[-1],
        covariance=tuple(_rounded(value, 6) for value in lower),
        residual_kw=_rounded(float(np.sqrt(fit.residuals @ fit.residuals / fit.degrees_of_freedom)), 6),
        autocorrelation=round(_autocorrelation(training.hour, fit.residuals), 6),
        training_starts_at=training.window.starts_at,
        training_ends_at=training.window.ends_at,
        training_hours=len(training.hour),
        degrees_of_freedom=fit.degrees_of_freedom,
        temperatures_c=tuple(temperatures_c),
    )


def _hours_of(
    day: date, metered: IntervalSeries, temperatures: IntervalSeries, tz: ZoneInfo, holidays: Collection[date]
) -> DayHours | SkippedDay:
    whole = local_day(day, tz)
    step = timedelta(seconds=metered.step_s)
    # Of hourly steps in a zone with a half-hour offset, those that start on the day.
    late = -((whole.starts_at - metered.starts_at) % -step)
    steps = -(-(whole.ends_at - whole.starts_at - late) // step)
    own = TimeWindow(whole.starts_at + late, whole.starts_at + late + steps * step)
    starts = metered.starts(own)
    hours = np.array(clock_hours(starts, tz), dtype=np.int64)
    load_kw, temp_c = metered.slice(own), hourly_mean(hours.tolist(), temperatures.slice(own))
    complete = np.isin(hours, hours[np.isnan(load_kw)], invert=True)
    if not complete.any():
        return SkippedDay(day, "missing_interval")
    usable = complete & ~np.isnan(temp_c)
    if not usable.any():
        return SkippedDay(day, "no_temperature")
    unique, first, where = np.unique(hours[usable], return_index=True, return_inverse=True)
    week = np.array(
        [hour_of_week(at, tz, holidays) for at, is_in in zip(starts, usable, strict=True) if is_in]
    )
    load = np.bincount(where, weights=load_kw[usable]) / np.bincount(where)
    return unique, week[first].astype(np.int64), load, temp_c[usable][first]


def _require_hours(training: TrainingHours, wanted: Collection[int]) -> None:
    counts = np.bincount(training.week, minlength=HOURS_A_WEEK)
    for week in sorted(wanted):
        if counts[week] < FEWEST_HOURS:
            raise BaselineImpossible(
                f"only {counts[week]} of {FEWEST_HOURS} usable hours {name_of(week)} before the day of the window; "
                "give readings with temperatures of earlier weeks, or more lookback days"
            )


def _change_points(temp_c: FloatArray) -> tuple[float, ...]:
    """Quantiles of the temperatures, at least LEAST_SEGMENT_K apart; none where there is no temperature."""
    if not len(temp_c):
        return ()
    points: list[float] = []
    for point in np.quantile(temp_c, np.arange(1, SEGMENTS) / SEGMENTS):
        if not points or point >= points[-1] + LEAST_SEGMENT_K:
            points.append(round(float(point), 3))
    return tuple(points)


def _autocorrelation(hour: IntArray, residuals: FloatArray) -> float:
    """The autocorrelation of residuals one hour apart, not below 0: the correction for it never narrows an interval."""
    follows = np.flatnonzero(np.diff(hour) == 1)
    square = float(residuals @ residuals) / len(residuals)
    if not len(follows) or square <= 0:
        return 0.0
    product = float(residuals[follows] @ residuals[follows + 1]) / len(follows)
    return min(max(product / square, 0.0), MOST_AUTOCORRELATION)


def _rounded(value: float, digits: int) -> float:
    """To significant digits: what is recorded is what the baseline is computed from, on every machine."""
    return float(f"{value:.{digits}g}")
