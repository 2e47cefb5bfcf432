"""The corrections of a change of imported history: of each quarter-hour that a reader then sees otherwise.

A take-back records them (ADR 0107). So does an import over what was taken back: measurements were made again without
it, and are made once more with what stands in its place. All functions run in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg

from adapters.postgres.telemetry.dirty_intervals import record_corrections
from adapters.postgres.telemetry.import_layers import order_imports
from adapters.postgres.telemetry.imported_intervals import stored_intervals
from adapters.postgres.wire_format.array_parameters import moments, texts
from application.measurement.basis import CORRECTED_FOR
from application.ports.telemetry.progress import Correction
from application.ports.telemetry.store import ImportedIntervals
from domain.telemetry.intervals import INTERVAL, INTERVAL_S, interval_start
from domain.time_series.interval_block import IntervalBlock, block_of
from domain.time_series.windows import TimeWindow

Connection = psycopg.Connection[Any]

# The part of what is given, from the first to the last interval, that imports that were taken back had.
_TAKEN_BACK = """
SELECT g.facility_id, min(greatest(f.starts_at, g.starts_at)), max(least(f.ends_at, g.ends_at))
FROM unnest(%(facility_id)s::text[], %(starts_at)s::timestamptz[], %(ends_at)s::timestamptz[])
    AS g (facility_id, starts_at, ends_at)
JOIN gridproof.history_import_facilities f ON f.facility_id = g.facility_id
    AND f.starts_at < g.ends_at AND f.ends_at > g.starts_at
JOIN gridproof.history_imports i ON i.import_id = f.import_id AND i.taken_back_at IS NOT NULL
GROUP BY g.facility_id ORDER BY g.facility_id
"""


@contextmanager
def corrections_of_import(conn: Connection, intervals: ImportedIntervals, *, at: datetime) -> Iterator[None]:
    """Record the corrections of what the block imports over history that was taken back."""
    order_imports(conn)
    before = []
    for facility_id, starts_at, ends_at in conn.execute(_TAKEN_BACK, _spans(intervals)).fetchall():
        window = quarters_between(starts_at.astimezone(UTC), ends_at.astimezone(UTC), at - CORRECTED_FOR)
        if window is not None:
            before.append((block_seen(conn, facility_id, window), window))
    yield
    for block, window in before:
        correct_differences(conn, block, window, at=at)


def _spans(intervals: ImportedIntervals) -> dict[str, Any]:
    """From the first to the last interval of each facility."""
    ends_s = intervals.starts_at_s + intervals.step_s
    first = np.full(len(intervals.facility_ids), np.iinfo(np.int64).max)
    last = np.full(len(intervals.facility_ids), np.iinfo(np.int64).min)
    np.minimum.at(first, intervals.facility_index, intervals.starts_at_s)
    np.maximum.at(last, intervals.facility_index, ends_s)
    given = np.flatnonzero(first < last).tolist()
    return {
        "facility_id": texts([intervals.facility_ids[n] for n in given]),
        "starts_at": moments([datetime.fromtimestamp(int(first[n]), UTC) for n in given]),
        "ends_at": moments([datetime.fromtimestamp(int(last[n]), UTC) for n in given]),
    }


def quarters_between(starts_at: datetime, ends_at: datetime, corrected_from: datetime) -> TimeWindow | None:
    """The whole quarter-hours that the span touches, from `corrected_from` on."""
    first = interval_start(max(starts_at, corrected_from))
    last = interval_start(ends_at)
    end = last if last == ends_at else last + INTERVAL
    return TimeWindow(first, end) if first < end else None


def block_seen(conn: Connection, facility_id: str, window: TimeWindow) -> IntervalBlock:
    """As readers see it."""
    return block_of([facility_id], window, INTERVAL_S, stored_intervals(conn, [facility_id], window))


def correct_differences(conn: Connection, before: IntervalBlock, window: TimeWindow, *, at: datetime) -> int:
    """Record a correction of each quarter-hour that readers see otherwise than `before`; returns their number."""
    [facility_id] = before.facility_ids
    corrections = _differences(before, block_seen(conn, facility_id, window))
    record_corrections(conn, corrections, at=at)
    return len(corrections)


def _differences(before: IntervalBlock, after: IntervalBlock) -> Sequence[Correction]:
    """The quarter-hours with another mean, coverage or temperature."""
    same = [
        (old == new) | (np.isnan(old) & np.isnan(new))
        for old, new in (
            (before.mean_kw[0], after.mean_kw[0]),
            (before.coverage_pct[0], after.coverage_pct[0]),
            (before.temp_c[0], after.temp_c[0]),
        )
    ]
    [facility_id] = before.facility_ids
    return [
        Correction(
            facility_id=facility_id,
            starts_at=before.starts_at + n * INTERVAL,
            old_mean_kw=(old := _number_or_none(before.mean_kw[0, n])),
            new_mean_kw=(new := _number_or_none(after.mean_kw[0, n])),
            old_kwh=_energy(old),
            new_kwh=_energy(new),
        )
        for n in np.flatnonzero(~np.logical_and.reduce(same)).tolist()
    ]


def _number_or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _energy(mean_kw: float | None) -> float | None:
    return None if mean_kw is None else mean_kw * INTERVAL_S / 3600
