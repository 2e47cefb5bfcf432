"""Power and energy of facilities by minute, quarter-hour and hour out of their meters' readings: pure, in columns for
many facilities at once, and independent of the order in which readings came. All in UTC, where no day has 23 hours.

A facility's step is the sum over its meters (domain.telemetry.meter_rollups). One that is expected and missing makes
mean, energy, minimum and maximum missing: a sum over fewer meters would look like a curtailment. `min_kw` and `max_kw`
are the sums of the meters' own extremes: the facility drew no less and no more.

An hour is made of its four quarter-hours.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.meter_rollups import MeterSteps, MinuteSums, QuarterPoints
from domain.telemetry.minute_ranges import MINUTE_S, FloatArray, IntArray, summed_by

HOUR_S = 3600
QUARTERS = HOUR_S // INTERVAL_S
LOOK_BACK_S = INTERVAL_S
LOOK_AHEAD_S = 300
"""So far past its end the readings of a quarter-hour tell what a register counted in its last moments."""
SETTLED_AFTER = timedelta(seconds=INTERVAL_S + LOOK_AHEAD_S + 20)
"""After its start a quarter-hour is settled: its last register readings and the slowest meters are in."""
LATE_AFTER = timedelta(hours=2)
"""Settled for the first time so late after its start, a quarter-hour counts as corrected: somebody may have used its
gap."""


class RollupColumns(msgspec.Struct, frozen=True, eq=False):
    """Arrays of one shape; NaN where missing."""

    mean_kw: FloatArray
    kwh: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    coverage_pct: FloatArray
    readings: IntArray
    """Usable ones."""
    replaced: IntArray
    """How many of them are estimates."""


class RollupSeries(msgspec.Struct, frozen=True, eq=False):
    """Rollups of one facility and step in order of time; `columns` are of their length."""

    facility_id: str
    step_s: int
    starts_at: tuple[datetime, ...]
    columns: RollupColumns


def quarter_rollups(
    points: QuarterPoints, facility_of: IntArray, expected: IntArray
) -> tuple[RollupColumns, RollupColumns]:
    """The facilities' minutes, shape (facilities, 15), and quarter-hours, shape (facilities, 1).

    `facility_of` says whose each meter is, `expected` how many meters each facility is made of.
    """
    by_minute = MinuteSums.of(points, len(facility_of))
    minutes = by_minute.steps(MINUTE_S)
    quarter = by_minute.summed().steps(INTERVAL_S)
    return (
        _over_facilities(minutes, facility_of, expected, MINUTE_S),
        _over_facilities(quarter, facility_of, expected, INTERVAL_S),
    )


def _over_facilities(
    steps: MeterSteps, facility_of: IntArray, expected: IntArray, step_s: int
) -> RollupColumns:
    count, width = len(expected), steps.mean_kw.shape[1]
    cells = (facility_of[:, None] * width + np.arange(width)).reshape(-1)

    def total(values: NDArray[Any]) -> FloatArray:
        return summed_by(cells, values.reshape(-1), count * width).reshape(count, width)

    whole = total(np.isfinite(steps.mean_kw)) == expected[:, None]

    def complete(values: FloatArray) -> FloatArray:
        return np.where(whole, total(np.nan_to_num(values)), np.nan)

    with np.errstate(invalid="ignore", divide="ignore"):
        coverage = 100.0 * total(steps.covered_s) / (step_s * expected[:, None])
    return RollupColumns(
        complete(steps.mean_kw),
        np.where(total(np.isfinite(steps.kwh)) == expected[:, None], complete(steps.kwh), np.nan),
        complete(steps.min_kw),
        complete(steps.max_kw),
        np.asarray(np.round(np.nan_to_num(coverage), 3), np.float64),
        total(steps.readings).astype(np.int64),
        total(steps.replaced).astype(np.int64),
    )


def hour_of_quarters(quarters: RollupColumns) -> RollupColumns:
    """Hours out of quarter-hours, shape (hours, 4) to (hours,); one without a row has coverage 0 and NaN."""
    return RollupColumns(
        quarters.mean_kw.mean(axis=1),
        quarters.kwh.sum(axis=1),
        quarters.min_kw.min(axis=1),
        quarters.max_kw.max(axis=1),
        np.asarray(np.round(quarters.coverage_pct.mean(axis=1), 3), np.float64),
        quarters.readings.sum(axis=1),
        quarters.replaced.sum(axis=1),
    )


def columns_of(rows: Iterable[tuple[float, ...]]) -> RollupColumns:
    """Of rows in the order of the columns."""
    columns = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)] or [np.empty(0)] * 7
    counts = (column.astype(np.int64) for column in columns[5:])
    return RollupColumns(columns[0], columns[1], columns[2], columns[3], columns[4], *counts)
