"""Imported history, beside metered readings: rows of any step. An unknown value is left out of its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from adapters.influxdb.connection import ROLLUPS, InfluxConnection
from adapters.influxdb.influxql import before, in_chunks, is_one_of, select, since
from adapters.influxdb.line_protocol import Unstorable, line, microseconds, moment_of, tag
from application.ports.telemetry.store import ImportedIntervals, ImportOutcome, ReadingsRefused
from domain.time_series.interval_block import LONGEST_STEP_S

MEASUREMENT = "imported"

Imported = tuple[str, datetime, int, float, float]
"""Facility, start, step, mean kW and temperature; NaN where unknown."""
Key = tuple[str, datetime, int]


def store_imported(connection: InfluxConnection, intervals: ImportedIntervals) -> ImportOutcome:
    """Raises ReadingsRefused, TelemetryStoreUnavailable."""
    intervals_by_key = _validated(intervals)
    stored = {} if not intervals_by_key else _stored(connection, list(intervals_by_key))
    added = changed = 0
    lines = []
    for key, (mean_kw, temp_c) in intervals_by_key.items():
        before_kw, before_c = stored.get(key, (np.nan, np.nan))
        after = (mean_kw if np.isfinite(mean_kw) else before_kw, temp_c if np.isfinite(temp_c) else before_c)
        if key in stored and np.array_equal(after, (before_kw, before_c), equal_nan=True):
            continue
        added += key not in stored
        changed += key in stored
        lines.append(_line(key, *after))
    connection.write(ROLLUPS, lines)
    return ImportOutcome(added=added, changed=changed, unchanged=len(intervals_by_key) - added - changed)


def _validated(intervals: ImportedIntervals) -> dict[Key, tuple[float, float]]:
    if len(intervals) and not 1 <= intervals.step_s.min() <= intervals.step_s.max() <= LONGEST_STEP_S:
        raise ReadingsRefused(f"step_s must be 1 .. {LONGEST_STEP_S}")
    if np.isinf(intervals.mean_kw).any() or np.isinf(intervals.temp_c).any():
        raise ReadingsRefused("a mean or a temperature is infinite")
    facilities = [intervals.facility_ids[n] for n in intervals.facility_index.tolist()]
    starts = [datetime.fromtimestamp(s, UTC) for s in intervals.starts_at_s.tolist()]
    keys = list(zip(facilities, starts, intervals.step_s.tolist(), strict=True))
    values = zip(intervals.mean_kw.tolist(), intervals.temp_c.tolist(), strict=True)
    intervals_by_key = dict(zip(keys, values, strict=True))
    if len(intervals_by_key) < len(keys):
        raise ReadingsRefused("an interval is listed twice")
    return intervals_by_key


def _line(key: Key, mean_kw: float, temp_c: float) -> str:
    facility_id, starts_at, step_s = key
    try:
        tags = {"facility_id": tag(facility_id), "step": str(step_s)}
    except Unstorable as error:
        raise ReadingsRefused(str(error)) from error
    fields = {"mean_kw": mean_kw, "temp_c": temp_c, "there": True}
    return line(MEASUREMENT, tags, fields, microseconds(starts_at))


def _stored(connection: InfluxConnection, keys: Sequence[Key]) -> dict[Key, tuple[float, float]]:
    starts = [start for _, start, _ in keys]
    facilities = [facility for facility, _, _ in keys]
    result = imported(connection, facilities, min(starts), max(starts) + timedelta(seconds=1))
    return {
        (facility, start, step_s): (mean_kw, temp_c) for facility, start, step_s, mean_kw, temp_c in result
    }


def imported(
    connection: InfluxConnection, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
) -> Iterator[Imported]:
    """The intervals that start within the time range."""
    statements = [
        select(
            "there, mean_kw, temp_c",
            MEASUREMENT,
            is_one_of("facility_id", bite),
            since(starts_from),
            before(ends_at),
            by="facility_id, step",
        )
        for bite in in_chunks(facility_ids)
    ]
    for series in connection.series(ROLLUPS, statements):
        facility_id, step_s = series.tags["facility_id"], int(series.tags["step"])
        for us, mean_kw, temp_c in series.rows("time", "mean_kw", "temp_c"):
            yield facility_id, moment_of(us), step_s, _number(mean_kw), _number(temp_c)


def newest_imported(connection: InfluxConnection, facility_ids: Sequence[str]) -> dict[str, datetime]:
    """Facility -> the end of its last imported value."""
    statements = [
        select("last(mean_kw)", MEASUREMENT, is_one_of("facility_id", bite), by="facility_id, step")
        for bite in in_chunks(facility_ids)
    ]
    newest: dict[str, datetime] = {}
    for series in connection.series(ROLLUPS, statements):
        facility_id, step_s = series.tags["facility_id"], int(series.tags["step"])
        for (us,) in series.rows("time"):
            ends_at = moment_of(us) + timedelta(seconds=step_s)
            newest[facility_id] = max(ends_at, newest.get(facility_id, ends_at))
    return newest


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
