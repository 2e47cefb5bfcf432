"""The regression model: its terms, and the baseline as a pure function of its recorded figures.

    occupied hours:   kW = a(hour of the week) + sum over the segments j of b(j) * component(j, temperature)
    other hours:      kW = a(hour of the week) + c * temperature

Local hours, holidays as Sundays. `component` is the part of the temperature that lies in a segment, so the load is a
continuous, piecewise linear function of the temperature (equations 4 to 6 of the paper).
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from domain.baseline.result import BaselineImpossible, TemperatureMissing
from domain.time_series.windows import FloatArray

HOUR_S = 3600
HOURS_A_DAY, HOURS_A_WEEK = 24, 168
SUNDAY = 6
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class HourTerm(msgspec.Struct, frozen=True):
    """The term of an hour of the local week: 0 is Monday 00:00, 167 Sunday 23:00 and that of holidays."""

    hour_of_week: int
    occupied: bool
    kw: float
    """The coefficient a."""


class RegressionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted regression, reduced to the terms that one window uses; enough to recompute its baseline.

    The order of the coefficients is: `hours`, `occupied_kw_per_k` by segment, `unoccupied_kw_per_k`.
    """

    hours: tuple[HourTerm, ...]
    change_points_c: tuple[float, ...]
    """The temperatures between the segments, rising, degrees Celsius."""
    occupied_kw_per_k: tuple[float, ...]
    """The coefficients b: one more than there are change points."""
    unoccupied_kw_per_k: float
    """The coefficient c."""
    covariance: tuple[float, ...]
    """Of the coefficients, in squares of their units: the lower triangle by rows, k (k + 1) / 2 numbers."""
    residual_kw: float
    """The standard deviation of the residuals, mean kW of an hour."""
    autocorrelation: float
    """Of the residuals from an hour to the next, 0 .. 0.98."""
    training_starts_at: datetime
    training_ends_at: datetime
    training_hours: int
    degrees_of_freedom: int
    """The training hours minus the rank of the model."""
    temperatures_c: tuple[float | None, ...]
    """Outdoor temperatures of the window's intervals, as they were used; None where unknown."""

    @property
    def coefficients(self) -> tuple[float, ...]:
        return (*(term.kw for term in self.hours), *self.occupied_kw_per_k, self.unoccupied_kw_per_k)


def regression_baseline(
    figures: RegressionFigures,
    starts: Sequence[datetime],
    tz: ZoneInfo,
    holidays: Collection[date],
    temperatures: Sequence[float | None] | FloatArray,
) -> FloatArray:
    """The baseline (kW, shape (n,)) at the intervals `starts`, with their temperatures (degrees Celsius).

    An interval has the temperature of its local hour: the mean of those known in it. Raises BaselineImpossible for an
    hour without a term, TemperatureMissing for one without a temperature.
    """
    rows = model_rows(figures, starts, tz, holidays, temperatures)
    result = np.zeros(len(starts))
    # Term by term and not as a matrix product, whose result depends on the library that multiplies.
    for column, coefficient in zip(rows.T, figures.coefficients, strict=True):
        result += column * coefficient
    return result


def model_rows(
    figures: RegressionFigures,
    starts: Sequence[datetime],
    tz: ZoneInfo,
    holidays: Collection[date],
    temperatures: Sequence[float | None] | FloatArray,
) -> FloatArray:
    """The columns of the model at `starts`: shape (n, coefficients). Raises BaselineImpossible."""
    temp_c = hourly_mean(clock_hours(starts, tz), temperatures)
    require_temperatures(starts, temp_c, tz)
    terms = {term.hour_of_week: (index, term) for index, term in enumerate(figures.hours)}
    rows = np.zeros((len(starts), len(figures.coefficients)))
    segments = temperature_components(temp_c, figures.change_points_c)
    for row, starts_at in enumerate(starts):
        hour = hour_of_week(starts_at, tz, holidays)
        if hour not in terms:
            raise BaselineImpossible(f"the regression has no term for {name_of(hour)}")
        index, term = terms[hour]
        rows[row, index] = 1.0
        if term.occupied:
            rows[row, len(figures.hours) : -1] = segments[row]
        else:
            rows[row, -1] = temp_c[row]
    return rows


def hour_of_week(starts_at: datetime, tz: ZoneInfo, holidays: Collection[date]) -> int:
    """The hour of the local week in which an interval starts; a holiday counts as a Sunday."""
    local = starts_at.astimezone(tz)
    weekday = SUNDAY if local.date() in holidays else local.weekday()
    return weekday * HOURS_A_DAY + local.hour


def clock_hours(starts: Sequence[datetime], tz: ZoneInfo) -> tuple[int, ...]:
    """The local hour of each interval, counted from 1970: an hour that a clock change repeats occurs twice."""
    hours = []
    for starts_at in starts:
        offset_s = (starts_at.astimezone(tz).utcoffset() or (starts_at - starts_at)).total_seconds()
        # Whole hours of the offset only move the count; the rest shifts where hours begin.
        hours.append(int((starts_at.timestamp() + offset_s % HOUR_S) // HOUR_S))
    return tuple(hours)


def hourly_mean(hours: Sequence[int], values: Sequence[float | None] | FloatArray) -> FloatArray:
    """For each interval the mean of the known values of its hour; NaN where none is known."""
    known = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    _, where = np.unique(np.array(hours, dtype=np.int64), return_inverse=True)
    present = ~np.isnan(known)
    counts = np.bincount(where, weights=present)
    sums = np.bincount(where, weights=np.where(present, known, 0.0))
    means = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return np.asarray(means[where], dtype=np.float64)


def temperature_components(temp_c: FloatArray, change_points_c: Sequence[float]) -> FloatArray:
    """The part of each temperature in each segment: shape (n, change points + 1); a row sums to the temperature."""
    low = np.array([0.0, *change_points_c])
    high = np.array([*change_points_c, np.inf])
    parts = np.minimum(temp_c[:, None], high) - low
    # The first segment goes on below, the last one above.
    parts[:, 1:] = np.maximum(parts[:, 1:], 0.0)
    return np.asarray(parts, dtype=np.float64)


def name_of(hour: int) -> str:
    """`Monday 14:00`."""
    day, hour_of_day = divmod(hour, HOURS_A_DAY)
    return f"{DAY_NAMES[day]} {hour_of_day:02d}:00"


def require_temperatures(starts: Sequence[datetime], temp_c: FloatArray, tz: ZoneInfo) -> None:
    """`temp_c` are those of the hours of the intervals `starts`. Raises TemperatureMissing where one is NaN."""
    unknown = [at for at, value in zip(starts, temp_c, strict=True) if np.isnan(value)]
    if unknown:
        raise TemperatureMissing(
            f"no outdoor temperature is known for the hour of {unknown[0].astimezone(tz):%Y-%m-%d %H:%M} in the "
            "window; `regression` needs one in each of its hours"
        )
