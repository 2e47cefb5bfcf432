"""Finalizes changed quarter-hours: writes their rollups to InfluxDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from adapters.influxdb.connection import ROLLUPS, InfluxConnection
from adapters.influxdb.quarters import ComputedQuarters, computed
from adapters.influxdb.rollup_rows import (
    Row,
    StoredRollup,
    has_values,
    hour_of,
    hour_row,
    line_of,
    none_if_nan,
    row_of,
    stored_rollups,
)
from application.ports.telemetry.progress import Correction, PartitionProgress, Quarter
from application.ports.telemetry.rollups import FinalizeResult
from domain.telemetry.facility_rollups import FINALIZED_AFTER, HOUR_S, LATE_AFTER
from domain.telemetry.intervals import INTERVAL, INTERVAL_S, RETIRED_AFTER
from domain.telemetry.minute_ranges import MINUTE_S, MINUTES

Existing = dict[Quarter, StoredRollup]


def finalize_quarters(
    connection: InfluxConnection, progress: PartitionProgress, *, at: datetime, limit: int
) -> FinalizeResult:
    """At most `limit` of the partition's due quarter-hours. The rows are written first, which may be repeated; then
    the progress."""
    due = progress.due(at - FINALIZED_AFTER, limit=limit)
    if not due:
        return FinalizeResult()
    result = computed(connection, due)
    old = _existing(connection, due)
    # Fewer readings than before: retention deleted some, and their rollup stays.
    complete = [
        n for n, q in enumerate(due) if result.rows_seen[n] >= max(old[q].rows_seen if q in old else 1, 1)
    ]
    new = {due[n]: _quarter(result, n) for n in complete}
    connection.write(ROLLUPS, [line_of(rollup, INTERVAL_S) for rollup in new.values()])
    connection.write(
        ROLLUPS, [line for n in complete for line in _minutes(result, n, is_first=due[n] not in old)]
    )
    connection.write(ROLLUPS, _hours(connection, list(new.values())))
    corrected = [c for rollup in new.values() if (c := _correction(rollup, old, at)) is not None]
    progress.finalized(due, corrected, at=at)
    progress.mark_dirty(_outdated(connection, new, old))
    return FinalizeResult(quarters=len(due), corrected=len(corrected))


def _existing(connection: InfluxConnection, quarters: Sequence[Quarter]) -> Existing:
    by_start: dict[datetime, list[str]] = {}
    for facility_id, start in quarters:
        by_start.setdefault(start, []).append(facility_id)
    return {
        (rollup.facility_id, start): rollup
        for start, facilities in by_start.items()
        for rollup in stored_rollups(connection, facilities, INTERVAL_S, start, start + INTERVAL)
    }


def _quarter(result: ComputedQuarters, n: int) -> StoredRollup:
    facility_id, start = result.quarters[n]
    meters = result.present.get((facility_id, start), ())
    return StoredRollup(facility_id, start, row_of(result.whole, n, 0), int(result.rows_seen[n]), meters)


def _minutes(result: ComputedQuarters, n: int, *, is_first: bool) -> list[str]:
    """Where earlier rows may exist, also minutes without values."""
    facility_id, start = result.quarters[n]
    rows: list[tuple[int, Row]] = [(k, row_of(result.minutes, n, k)) for k in range(MINUTES)]
    return [
        line_of(
            StoredRollup(facility_id, start + timedelta(seconds=MINUTE_S * k), row, int(result.rows_seen[n])),
            MINUTE_S,
        )
        for k, row in rows
        if has_values(row) or not is_first
    ]


def _hours(connection: InfluxConnection, quarters: Sequence[StoredRollup]) -> list[str]:
    """The hours of `quarters`, which are written already."""
    lines = []
    for hour in sorted({hour_of(quarter.starts_at) for quarter in quarters}):
        facilities = sorted({q.facility_id for q in quarters if hour_of(q.starts_at) == hour})
        of: dict[str, dict[datetime, StoredRollup]] = {}
        ends_at = hour + timedelta(seconds=HOUR_S)
        for rollup in stored_rollups(connection, facilities, INTERVAL_S, hour, ends_at):
            of.setdefault(rollup.facility_id, {})[rollup.starts_at] = rollup
        for facility_id, there in of.items():
            row = hour_row({start: rollup.row for start, rollup in there.items()}, hour)
            seen = sum(rollup.rows_seen for rollup in there.values())
            lines.append(line_of(StoredRollup(facility_id, hour, row, seen), HOUR_S))
    return lines


def _correction(new: StoredRollup, old: Existing, at: datetime) -> Correction | None:
    before = old.get((new.facility_id, new.starts_at))
    if before is None:
        if new.starts_at >= at - LATE_AFTER:
            return None
    elif (before.mean_kw, before.kwh) == (new.mean_kw, new.kwh):
        return None
    return Correction(
        facility_id=new.facility_id,
        starts_at=new.starts_at,
        old_mean_kw=None if before is None else before.mean_kw,
        new_mean_kw=none_if_nan(new.row[0]),
        old_kwh=None if before is None else before.kwh,
        new_kwh=none_if_nan(new.row[1]),
    )


def _outdated(connection: InfluxConnection, new: dict[Quarter, StoredRollup], old: Existing) -> list[Quarter]:
    """The finalized quarter-hours of the day after one in which a meter reported later than its neighbours: it belongs
    to their sums, too."""
    grown: dict[str, list[datetime]] = {}
    for quarter, rollup in new.items():
        if set(rollup.meters) - set(old[quarter].meters if quarter in old else ()):
            grown.setdefault(rollup.facility_id, []).append(rollup.starts_at)
    outdated: dict[Quarter, None] = {}
    for facility_id, starts in grown.items():
        first, last = min(starts), max(starts)
        later = stored_rollups(connection, [facility_id], INTERVAL_S, first + INTERVAL, last + RETIRED_AFTER)
        for rollup in later:
            quarter = (facility_id, rollup.starts_at)
            is_after = any(start < rollup.starts_at < start + RETIRED_AFTER for start in starts)
            if is_after and quarter not in new:
                outdated[quarter] = None
    return list(outdated)


def unfinalized_rows(result: ComputedQuarters, step_s: int) -> dict[Quarter, Row]:
    """The minutes or quarter-hours that replace finalized ones."""
    known_ones = np.flatnonzero(result.rows_seen).tolist()
    if step_s == MINUTE_S:
        return {
            (facility_id, start + timedelta(seconds=MINUTE_S * k)): row_of(result.minutes, n, k)
            for n in known_ones
            for facility_id, start in [result.quarters[n]]
            for k in range(MINUTES)
        }
    return {result.quarters[n]: row_of(result.whole, n, 0) for n in known_ones}
