"""Rollups of facilities by minute, quarter-hour and hour from the readings of their meters.

The functions are pure, work on columns of many facilities at once, and do not depend on the order in which
readings arrived. All times are UTC, where every day has 24 hours.

A facility's step is the sum over its meters (domain.telemetry.meter_rollups). If an expected meter is
missing, mean, energy, minimum and maximum are missing too: a sum over fewer meters would look like a
curtailment. `min_kw` and `max_kw` are the sums of the meters' own extremes, hence bounds of the facility's
power. An hour consists of its four quarter-hours.
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
"""Readings from this long before a quarter-hour count for its first moments."""
LOOK_AHEAD_S = 300
"""Readings up to this long after a quarter-hour show what a register counted in its last moments."""
FINALIZED_AFTER = timedelta(seconds=INTERVAL_S + LOOK_AHEAD_S + 20)
"""This long after its start a quarter-hour is finalized: its last register readings and slow meters have
arrived."""
LATE_AFTER = timedelta(hours=2)
"""A quarter-hour that is first finalized this long after its start counts as corrected, because somebody may
have used the gap."""


class RollupColumns(msgspec.Struct, frozen=True, eq=False):
    """Arrays of one shape; NaN if missing."""

    mean_kw: FloatArray
    kwh: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    coverage_pct: FloatArray
    readings: IntArray
    """The number of usable readings."""
    replaced: IntArray
    """How many of them are estimates."""


class RollupSeries(msgspec.Struct, frozen=True, eq=False):
    """Rollups of one facility and step in order of time; `columns` have their length."""

    facility_id: str
    step_s: int
    starts_at: tuple[datetime, ...]
    columns: RollupColumns


def quarter_rollups(
    points: QuarterPoints, facility_of: IntArray, expected: IntArray
) -> tuple[RollupColumns, RollupColumns]:
    """The facilities' minutes, shape (facilities, 15), and quarter-hours, shape (facilities, 1).

    `facility_of` is the facility of each meter, `expected` the number of meters of each facility.
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
    """Hours from quarter-hours, shape (hours, 4) to (hours,). A missing quarter-hour has coverage 0 and NaN."""
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
    """The columns from rows in the order of the columns."""
    columns = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)] or [np.empty(0)] * 7
    counts = (column.astype(np.int64) for column in columns[5:])
    return RollupColumns(columns[0], columns[1], columns[2], columns[3], columns[4], *counts)
