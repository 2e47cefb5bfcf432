"""Computes quarter-hours of facilities from the present readings in InfluxDB."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.influxdb.connection import RAW, InfluxConnection
from adapters.influxdb.influxql import Series, before, in_chunks, is_one_of, select, since
from adapters.influxdb.line_protocol import microseconds
from adapters.influxdb.raw_readings import MEASUREMENT, METER_TAGS
from application.ports.telemetry.progress import Quarter
from domain.telemetry.facility_rollups import LOOK_AHEAD_S, LOOK_BACK_S, RollupColumns, quarter_rollups
from domain.telemetry.intervals import INTERVAL, INTERVAL_S, RETIRED_AFTER
from domain.telemetry.meter_reading import REPLACED_VALUES, UNUSABLE
from domain.telemetry.meter_rollups import QuarterPoints

_POINTS = ("time", "kw", "kw_said", "kwh_total", "register_said", "quality")


class ComputedQuarters(msgspec.Struct, frozen=True, eq=False):
    """In the requested order."""

    quarters: Sequence[Quarter]
    rows_seen: NDArray[np.int64]
    """Readings of any quality inside; 0: a gap."""
    present: Mapping[Quarter, tuple[str, ...]]
    """The ids of the meters with a reading inside."""
    minutes: RollupColumns
    """Shape (quarters, 15)."""
    whole: RollupColumns
    """Shape (quarters, 1)."""


class _MeterRows(msgspec.Struct, frozen=True, eq=False):
    """The rows of one meter around one quarter-hour."""

    quarter: int
    meter_id: str
    offset_s: NDArray[np.float64]
    kw: NDArray[np.float64]
    kwh_total: NDArray[np.float64]
    usable: NDArray[np.bool_]
    replaced: NDArray[np.bool_]

    @property
    def inside(self) -> int:
        return int(((self.offset_s >= 0) & (self.offset_s < INTERVAL_S)).sum())


def computed(connection: InfluxConnection, quarters: Sequence[Quarter]) -> ComputedQuarters:
    """`quarters` must not be empty."""
    rows = _rows(connection, quarters)
    present: dict[Quarter, list[str]] = defaultdict(list)
    seen = np.zeros(len(quarters), dtype=np.int64)
    for one in rows:
        if one.inside:
            present[quarters[one.quarter]].append(one.meter_id)
            seen[one.quarter] += one.inside
    expected = _expected(connection, quarters)
    minutes, whole = quarter_rollups(
        _points(rows), np.array([one.quarter for one in rows], dtype=np.int64), expected
    )
    return ComputedQuarters(
        quarters, seen, {quarter: tuple(meters) for quarter, meters in present.items()}, minutes, whole
    )


def _by_start(quarters: Iterable[Quarter]) -> dict[datetime, list[str]]:
    facilities: dict[datetime, list[str]] = defaultdict(list)
    for facility_id, start in quarters:
        facilities[start].append(facility_id)
    return facilities


def _rows(connection: InfluxConnection, quarters: Sequence[Quarter]) -> list[_MeterRows]:
    number = {quarter: n for n, quarter in enumerate(quarters)}
    starts, statements = [], []
    for start, facilities in _by_start(quarters).items():
        for bite in in_chunks(facilities):
            starts.append(start)
            statements.append(
                select(
                    ", ".join(_POINTS[1:]),
                    MEASUREMENT,
                    is_one_of("facility_id", bite),
                    since(start - timedelta(seconds=LOOK_BACK_S)),
                    before(start + INTERVAL + timedelta(seconds=LOOK_AHEAD_S)),
                    by=METER_TAGS,
                )
            )
    result = [
        _meter_rows(number[series.tags["facility_id"], start], start, series)
        for start, answer in zip(starts, connection.query(RAW, statements), strict=True)
        for series in answer
    ]
    # The order of summation must not change the sums.
    return sorted(result, key=lambda one: (one.quarter, one.meter_id))


def _meter_rows(quarter: int, start: datetime, series: Series) -> _MeterRows:
    us, kw, kw_said, kwh_total, register_said, quality = zip(*series.rows(*_POINTS), strict=True)
    return _MeterRows(
        quarter,
        series.tags["meter_id"],
        (np.array(us, dtype=np.int64) - microseconds(start)) / 1e6,
        np.where(np.array(kw_said), np.array(kw, dtype=np.float64), np.nan),
        np.where(np.array(register_said), np.array(kwh_total, dtype=np.float64), np.nan),
        np.array([one not in UNUSABLE for one in quality]),
        np.array([one in REPLACED_VALUES for one in quality]),
    )


def _points(rows: Sequence[_MeterRows]) -> QuarterPoints:
    def column(name: str) -> NDArray[np.float64]:
        values = [getattr(one, name)[one.usable] for one in rows]
        return np.concatenate(values) if values else np.empty(0)

    meter = np.repeat(np.arange(len(rows)), [int(one.usable.sum()) for one in rows])
    return QuarterPoints(
        meter, column("offset_s"), column("kw"), column("kwh_total"), column("replaced").astype(np.bool_)
    )


def _expected(connection: InfluxConnection, quarters: Sequence[Quarter]) -> NDArray[np.int64]:
    """How many meters had a reading in the day up to the end of each (domain.telemetry.active_meters)."""
    starts, statements = [], []
    for start, facilities in _by_start(quarters).items():
        for bite in in_chunks(facilities):
            starts.append(start)
            ends_at = start + INTERVAL
            statements.append(
                select(
                    "last(revision)",
                    MEASUREMENT,
                    is_one_of("facility_id", bite),
                    since(ends_at - RETIRED_AFTER),
                    before(ends_at),
                    by=METER_TAGS,
                )
            )
    meters: dict[Quarter, int] = defaultdict(int)
    for start, answer in zip(starts, connection.query(RAW, statements), strict=True):
        for series in answer:
            meters[series.tags["facility_id"], start] += 1
    return np.array([meters[quarter] for quarter in quarters], dtype=np.int64)
