"""Computation of quarter-hour rollups from the readings in PostgreSQL, for finalization and for reads of
dirty intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from adapters.postgres.telemetry.dirty_intervals import dirty_between
from adapters.postgres.telemetry.readings.chunk_decoder import StoredReadings
from adapters.postgres.telemetry.readings.chunk_query import ChunkRange, counts_in, readings_in
from adapters.postgres.wire_format.copy_format import timestamps
from application.ports.telemetry.progress import Quarter
from domain.telemetry.active_meters import MeterPresence, day_number, days_before, quarter_number
from domain.telemetry.facility_rollups import LOOK_AHEAD_S, RollupColumns, quarter_rollups
from domain.telemetry.intervals import INTERVAL, INTERVAL_S
from domain.telemetry.meter_rollups import QuarterPoints
from domain.telemetry.minute_ranges import highest_by, lowest_by
from domain.telemetry.reading_arrays import ReadingColumns, replaced, usable

Connection = psycopg.Connection[Any]

_DAYS = """
SELECT facility_id, day, meter_id, quarters::text FROM meter_days
WHERE facility_id = ANY(%s) AND day BETWEEN %s AND %s
"""


class NewestOfMeter(msgspec.Struct, frozen=True):
    """Newest values of one meter in a quarter-hour; the values come from usable readings only."""

    facility_id: str
    meter_id: str
    first_at: datetime
    newest_at: datetime
    kw: float | None
    kw_at: datetime | None
    kwh_total: float | None
    kwh_total_at: datetime | None

    def after(self, earlier: NewestOfMeter) -> NewestOfMeter:
        """Combine with the values of an earlier quarter-hour."""
        kw = self if self.kw_at is not None else earlier
        register = self if self.kwh_total_at is not None else earlier
        return NewestOfMeter(
            self.facility_id,
            self.meter_id,
            earlier.first_at,
            self.newest_at,
            kw.kw,
            kw.kw_at,
            register.kwh_total,
            register.kwh_total_at,
        )


class ComputedQuarters(msgspec.Struct, frozen=True, eq=False):
    """Quarter-hours computed from their current readings, in the requested order."""

    quarters: Sequence[Quarter]
    rows_seen: NDArray[np.int64]
    """Number of readings of any quality; 0 is a gap."""
    present: Mapping[Quarter, Sequence[str]]
    """Meters with readings in each quarter-hour."""
    newest: Sequence[NewestOfMeter]
    repeated: Sequence[Quarter]
    """Quarter-hours in which a meter has several readings for one moment."""
    minutes: RollupColumns
    """Shape (quarters, 15)."""
    whole: RollupColumns
    """Shape (quarters, 1)."""


class _LoadedQuarters(msgspec.Struct, frozen=True, eq=False):
    points: QuarterPoints
    quarter_of: NDArray[np.int64]
    rows_seen: NDArray[np.int64]
    present: dict[Quarter, list[str]]
    newest: list[NewestOfMeter]
    repeated: list[Quarter]


def compute_quarters(
    conn: Connection, quarters: Sequence[Quarter], *, dirty: Sequence[Quarter] = ()
) -> ComputedQuarters:
    """Compute `quarters`, which must not be empty. The presence of meters in `dirty` is read from readings,
    since it is not in meter_days yet."""
    unique = set(quarters)
    everything = [*quarters, *(q for q in dirty if q not in unique)]
    loaded = _load(conn, everything)
    expected = _expected(conn, everything, loaded.present)
    minutes, whole = quarter_rollups(loaded.points, loaded.quarter_of, expected)
    requested = slice(0, len(quarters))
    return ComputedQuarters(
        quarters,
        loaded.rows_seen[requested],
        {quarter: loaded.present[quarter] for quarter in quarters if quarter in loaded.present},
        loaded.newest,
        loaded.repeated,
        chosen(minutes, requested),
        chosen(whole, requested),
    )


def chosen(columns: RollupColumns, which: Any) -> RollupColumns:
    return RollupColumns(*(getattr(columns, name)[which] for name in columns.__struct_fields__))


def _load(conn: Connection, quarters: Sequence[Quarter]) -> _LoadedQuarters:
    stored = readings_in(conn, _around(quarters))
    quarter_of = np.array([owner for owner, _ in stored.meters], dtype=np.int64)
    start_us = timestamps(np.array([start.timestamp() for _, start in quarters]))
    offset_s = _offset_s(stored.columns, quarter_of, start_us)
    inside = (offset_s >= 0) & (offset_s < INTERVAL_S)
    inside_of = np.bincount(stored.columns.meter[inside], minlength=len(stored.meters))
    counts = usable(stored.columns)
    counting = stored.columns.chosen(counts)
    points = QuarterPoints(
        counting.meter, offset_s[counts], counting.kw, counting.kwh_total, replaced(counting)
    )
    present: dict[Quarter, list[str]] = {}
    for n in np.flatnonzero(inside_of).tolist():
        owner, meter_id = stored.meters[n]
        present.setdefault(quarters[owner], []).append(meter_id)
    return _LoadedQuarters(
        points,
        quarter_of,
        np.bincount(quarter_of, weights=inside_of, minlength=len(quarters)).astype(np.int64),
        present,
        _newest(quarters, stored.meters, points, np.where(inside, offset_s, np.nan), stored.columns.meter),
        _repeated(stored, quarters, quarter_of, start_us),
    )


def reading_counts(conn: Connection, quarters: Sequence[Quarter]) -> list[int]:
    """Number of readings from which each of `quarters` is computed. `quarters` must not be empty."""
    counts = counts_in(conn, _around(quarters))
    return [counts.get(n, 0) for n in range(len(quarters))]


def _around(quarters: Sequence[Quarter]) -> list[ChunkRange]:
    """The chunk ranges from which quarter-hours are computed. Chunks hold one minute each, so the bounds cut
    none."""
    ahead = INTERVAL + timedelta(seconds=LOOK_AHEAD_S)
    return [
        ChunkRange(owner, facility_id, start + INTERVAL * n, start - INTERVAL, start + ahead)
        for owner, (facility_id, start) in enumerate(quarters)
        for n in (-1, 0, 1)
    ]


def _offset_s(
    columns: ReadingColumns, quarter_of: NDArray[np.int64], start_us: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Offset of each reading from the start of its owner's quarter-hour."""
    if not len(columns):
        return np.empty(0)
    offset_s: NDArray[np.float64] = (columns.ts_us - start_us[quarter_of][columns.meter]) / 1e6
    return offset_s


def _repeated(
    stored: StoredReadings,
    quarters: Sequence[Quarter],
    quarter_of: NDArray[np.int64],
    start_us: NDArray[np.int64],
) -> list[Quarter]:
    offset_s = _offset_s(stored.superseded, quarter_of, start_us)
    inside = (offset_s >= 0) & (offset_s < INTERVAL_S)
    return [quarters[n] for n in np.unique(quarter_of[stored.superseded.meter[inside]]).tolist()]


def _newest(
    quarters: Sequence[Quarter],
    meters: Sequence[tuple[int, str]],
    points: QuarterPoints,
    inside_s: NDArray[np.float64],
    meter: NDArray[np.int64],
) -> list[NewestOfMeter]:
    """`inside_s`: offsets of all readings, usable or not, NaN outside the quarter-hour; `meter`: their
    meters."""
    first, newest = (by(meter, inside_s, len(meters)) for by in (lowest_by, highest_by))
    inside = (points.offset_s >= 0) & (points.offset_s < INTERVAL_S)
    power, register = (
        _last(points.meter, inside & np.isfinite(values), len(meters))
        for values in (points.kw, points.kwh_total)
    )
    powers, registers = (
        [(float(values[n]), float(points.offset_s[n])) if n >= 0 else None for n in last.tolist()]
        for last, values in ((power, points.kw), (register, points.kwh_total))
    )
    result = []
    for n in np.flatnonzero(np.isfinite(newest)).tolist():
        owner, meter_id = meters[n]
        facility_id, start = quarters[owner]

        def after(offset_s: float, start: datetime = start) -> datetime:
            return start + timedelta(seconds=float(offset_s))

        kw, kwh = powers[n], registers[n]
        result.append(
            NewestOfMeter(
                facility_id,
                meter_id,
                after(first[n]),
                after(newest[n]),
                None if kw is None else kw[0],
                None if kw is None else after(kw[1]),
                None if kwh is None else kwh[0],
                None if kwh is None else after(kwh[1]),
            )
        )
    return result


def _last(meter: NDArray[np.int64], chosen_: NDArray[np.bool_], meters: int) -> NDArray[np.int64]:
    """Per meter, the index of the last chosen reading; -1 without one. `meter` is sorted."""
    last = np.full(meters, -1)
    where = np.flatnonzero(chosen_)
    last[meter[where]] = where
    return last


def _expected(
    conn: Connection, quarters: Sequence[Quarter], present: Mapping[Quarter, Sequence[str]]
) -> NDArray[np.int64]:
    numbers = [quarter_number(start) for _, start in quarters]
    first, last = days_before(numbers)
    presence = MeterPresence(day_number(first))
    facilities = list({facility for facility, _ in quarters})
    for facility_id, day, meter_id, bits in conn.execute(_DAYS, (facilities, first, last)):
        presence.add(facility_id, meter_id, day_number(day), int(bits[::-1], 2))
    for (facility_id, start), meters in present.items():
        for meter_id in meters:
            presence.add(facility_id, meter_id, quarter_number(start))
    return np.array(
        [presence.expected(facility, n) for (facility, _), n in zip(quarters, numbers, strict=True)],
        dtype=np.int64,
    )


def compute_dirty(
    conn: Connection, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
) -> ComputedQuarters | None:
    """Compute the dirty quarter-hours that start in a time range; None if there are none.

    Call it before reading finalized values: a quarter-hour that is finalized meanwhile is then in one of the
    two results.
    """
    dirty = dirty_between(conn, facility_ids, starts_from - timedelta(days=1), ends_at)
    requested = [quarter for quarter in dirty if quarter[1] >= starts_from]
    return compute_quarters(conn, requested, dirty=dirty) if requested else None
