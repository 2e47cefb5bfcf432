"""Hourly temperatures by UTC day, as they are stored; pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np

from application.ports.weather.temperatures import StoredTemperatures
from domain.telemetry.intervals import INTERVAL_S
from domain.time_series.windows import FloatArray, IntervalSeries, NotAligned, TimeWindow

HOUR_S, HOURS = 3600, 24
DAY = timedelta(days=1)


class CellDay(NamedTuple):
    """A cell's UTC day."""

    temp_c: tuple[float | None, ...]
    """24 values in degrees Celsius; None where unknown."""
    is_final: bool


def days_of(window: TimeWindow) -> tuple[date, date]:
    """The first and the last UTC day that hold a part of `window`."""
    return window.starts_at.date(), (window.ends_at - timedelta(microseconds=1)).date()


def hours_stored(window: TimeWindow, days: Mapping[date, CellDay]) -> StoredTemperatures:
    """The hours of `window`, from the days that are stored. Raises NotAligned."""
    first, last = days_of(window)
    count = (last - first).days + 1
    temp_c, is_final = np.full((count, HOURS), np.nan), np.zeros((count, HOURS))
    for day, known in days.items():
        if first <= day <= last:
            temp_c[(day - first).days] = [np.nan if one is None else one for one in known.temp_c]
            is_final[(day - first).days] = known.is_final
    began = _midnight(first)
    return StoredTemperatures(
        temp_c=IntervalSeries(
            window.starts_at, HOUR_S, IntervalSeries(began, HOUR_S, temp_c.ravel()).slice(window)
        ),
        is_final=IntervalSeries(began, HOUR_S, is_final.ravel()).slice(window) > 0,
    )


def quarter_hours_stored(
    window: TimeWindow, days: Mapping[date, CellDay], *, final_only: bool
) -> IntervalSeries:
    """The quarter-hours of `window`, each with the value of its hour. Raises NotAligned."""
    first, last = days_of(window)
    whole = hours_stored(TimeWindow(_midnight(first), _midnight(last) + DAY), days)
    values = np.where(whole.is_final, whole.temp_c.values, np.nan) if final_only else whole.temp_c.values
    fine = IntervalSeries(whole.temp_c.starts_at, INTERVAL_S, np.repeat(values, HOUR_S // INTERVAL_S))
    return IntervalSeries(window.starts_at, INTERVAL_S, fine.slice(window))


def day_rows(temp_c: IntervalSeries, final_until: datetime) -> Iterator[tuple[date, CellDay]]:
    """The days of an hourly series that hold a value. Raises NotAligned."""
    if (
        temp_c.step_s != HOUR_S
        or temp_c.starts_at.replace(minute=0, second=0, microsecond=0) != temp_c.starts_at
    ):
        raise NotAligned(
            f"temperatures are stored by whole hours, not by {temp_c.step_s} s from {temp_c.starts_at}"
        )
    if not len(temp_c.values):
        return
    first, last = days_of(TimeWindow(temp_c.starts_at, temp_c.ends_at))
    while first <= last:
        begins = _midnight(first)
        values: FloatArray = temp_c.slice(TimeWindow(begins, begins + DAY))
        if np.isfinite(values).any():
            known = tuple(None if np.isnan(one) else one for one in values.tolist())
            yield first, CellDay(known, begins + DAY <= final_until)
        first += DAY


def merged(before: CellDay | None, after: CellDay) -> CellDay:
    """The day after a later report of it: values that it lacks stay."""
    if before is None:
        return after
    temp_c = tuple(old if new is None else new for old, new in zip(before.temp_c, after.temp_c, strict=True))
    return CellDay(temp_c, before.is_final or after.is_final)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
