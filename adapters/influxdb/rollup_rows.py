"""Rollups in InfluxDB: rows of minutes, quarter-hours and hours of facilities.

An unknown value is written as 0 and left out of the bit mask in the field "known", because a later row of the same
time must replace all fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np

from adapters.influxdb.connection import ROLLUPS, InfluxConnection
from adapters.influxdb.influxql import before, in_chunks, is_one_of, select, since
from adapters.influxdb.line_protocol import line, microseconds, moment_of, tag
from domain.telemetry.facility_rollups import HOUR_S, QUARTERS, RollupColumns, hour_of_quarters
from domain.telemetry.intervals import INTERVAL_S

MEASUREMENT = "rollups"
_MEASURES = ("mean_kw", "kwh", "min_kw", "max_kw")
_COLUMNS = ("time", *_MEASURES, "known", "coverage_pct", "readings", "replaced", "rows_seen", "meters")

Row = tuple[float, ...]
"""One rollup, in the order of RollupColumns."""
GAP: Row = (np.nan, np.nan, np.nan, np.nan, 0.0, 0, 0)


class StoredRollup(msgspec.Struct, frozen=True):
    facility_id: str
    starts_at: datetime
    row: Row
    rows_seen: int
    meters: tuple[str, ...] = ()
    """Of a quarter-hour: the meters with a reading inside."""

    @property
    def mean_kw(self) -> float | None:
        return none_if_nan(self.row[0])

    @property
    def kwh(self) -> float | None:
        return none_if_nan(self.row[1])


def none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def has_values(row: Row) -> bool:
    *_, coverage_pct, readings, _ = row
    return coverage_pct > 0 or readings > 0


def line_of(rollup: StoredRollup, step_s: int) -> str:
    *measures, coverage_pct, readings, replaced = rollup.row
    fields: dict[str, float | int | str] = {
        name: 0.0 if np.isnan(value) else float(value)
        for name, value in zip(_MEASURES, measures, strict=True)
    }
    fields |= {
        "known": sum(1 << n for n, value in enumerate(measures) if not np.isnan(value)),
        "coverage_pct": float(coverage_pct),
        "readings": int(readings),
        "replaced": int(replaced),
        "rows_seen": rollup.rows_seen,
        "meters": " ".join(rollup.meters),
    }
    tags = {"facility_id": tag(rollup.facility_id), "step": str(step_s)}
    return line(MEASUREMENT, tags, fields, microseconds(rollup.starts_at))


def stored_rollups(
    connection: InfluxConnection,
    facility_ids: Sequence[str],
    step_s: int,
    starts_from: datetime,
    ends_at: datetime,
) -> Iterator[StoredRollup]:
    """The rollups that start within the time range."""
    statements = [
        select(
            ", ".join(_COLUMNS[1:]),
            MEASUREMENT,
            is_one_of("facility_id", bite),
            is_one_of("step", [str(step_s)]),
            since(starts_from),
            before(ends_at),
            by="facility_id",
        )
        for bite in in_chunks(facility_ids)
    ]
    for series in connection.series(ROLLUPS, statements):
        for us, *values in series.rows(*_COLUMNS):
            *measures, mask, coverage_pct, readings, replaced, rows_seen, meters = values
            row = [float(v) if mask >> n & 1 else np.nan for n, v in enumerate(measures)]
            yield StoredRollup(
                series.tags["facility_id"],
                moment_of(us),
                (*row, float(coverage_pct), readings, replaced),
                rows_seen,
                tuple(meters.split()),
            )


def row_of(columns: RollupColumns, n: int, k: int) -> Row:
    """A row of two-dimensional columns."""
    return tuple(getattr(columns, name)[n, k].item() for name in columns.__struct_fields__)


def columns_of(rows: Sequence[Row]) -> RollupColumns:
    """One-dimensional columns of the rows."""
    columns = list(zip(*rows, strict=True)) or [()] * len(RollupColumns.__struct_fields__)
    *measures, readings, replaced = (np.array(column, dtype=np.float64) for column in columns)
    mean_kw, kwh, min_kw, max_kw, coverage_pct = measures
    return RollupColumns(
        mean_kw, kwh, min_kw, max_kw, coverage_pct, readings.astype(np.int64), replaced.astype(np.int64)
    )


def hour_row(quarters: dict[datetime, Row], hour: datetime) -> Row:
    """An hour from its four quarter-hours; a missing one is a gap."""
    starts = (hour + timedelta(seconds=INTERVAL_S * n) for n in range(QUARTERS))
    four = columns_of([quarters.get(start, GAP) for start in starts])
    shaped = RollupColumns(*(getattr(four, name).reshape(1, QUARTERS) for name in four.__struct_fields__))
    whole = hour_of_quarters(shaped)
    return tuple(getattr(whole, name)[0].item() for name in whole.__struct_fields__)


def hour_of(moment: datetime) -> datetime:
    """The start of its hour, in UTC."""
    return moment_of(microseconds(moment) // (HOUR_S * 1_000_000) * HOUR_S * 1_000_000)
