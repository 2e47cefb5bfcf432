"""Settling: quarter-hours with news in them are written down as rollups, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from adapters.postgres.array_params import doubles, moments, texts
from adapters.postgres.binary_rows import copy_of, timestamps
from adapters.postgres.meter_days import note_presence
from adapters.postgres.newest_readings import VALUES, Lost, look_back
from adapters.postgres.quarter_news import columns, due, forget, tell_corrections
from adapters.postgres.stored_words import make_one_word
from adapters.postgres.telemetry_quarters import ComputedQuarters, NewestOfMeter, chosen, computed, read_for
from adapters.postgres.telemetry_readings import file_recent
from application.ports.telemetry_progress import Correction, Quarter
from application.ports.telemetry_rollups import Settled
from domain.meter_intervals import INTERVAL_S
from domain.minute_spans import MINUTE_S
from domain.rollups import LATE_AFTER, SETTLED_AFTER, RollupColumns

Connection = psycopg.Connection[Any]

MOST_READINGS = 100_000
"""Read in one transaction, the quarter-hour before and the beginning of the next included, unless a single quarter-hour
is computed from more: it holds up who writes, and all of them are in memory."""

_CURRENT = """
INSERT INTO current_values AS c
    (facility_id, meter_id, first_reading_at, newest_reading_at, kw, kw_at, kwh_total, kwh_total_at)
SELECT facility_id, meter_id, first_at, newest_at, nullif(kw, 'NaN'), CASE WHEN kw <> 'NaN' THEN kw_at END,
    nullif(kwh, 'NaN'), CASE WHEN kwh <> 'NaN' THEN kwh_at END
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::float8[], %s::timestamptz[],
    %s::float8[], %s::timestamptz[]) AS n (facility_id, meter_id, first_at, newest_at, kw, kw_at, kwh, kwh_at)
ON CONFLICT (facility_id, meter_id) DO UPDATE SET
    first_reading_at = least(c.first_reading_at, EXCLUDED.first_reading_at),
    newest_reading_at = greatest(c.newest_reading_at, EXCLUDED.newest_reading_at),
    kw = CASE WHEN c.kw_at IS NULL OR EXCLUDED.kw_at >= c.kw_at THEN EXCLUDED.kw ELSE c.kw END,
    kw_at = greatest(c.kw_at, EXCLUDED.kw_at),
    kwh_total = CASE WHEN c.kwh_total_at IS NULL OR EXCLUDED.kwh_total_at >= c.kwh_total_at
        THEN EXCLUDED.kwh_total ELSE c.kwh_total END,
    kwh_total_at = greatest(c.kwh_total_at, EXCLUDED.kwh_total_at)
"""

# A value of a quarter-hour that is settled again is what it says now.
_OUTDATED = """
UPDATE current_values c SET {value} = NULL, {value}_at = NULL
FROM unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
WHERE c.facility_id = t.facility_id
    AND c.{value}_at >= t.starts_at AND c.{value}_at < t.starts_at + interval '15 minutes'
RETURNING c.facility_id, c.meter_id, t.starts_at
"""

_OLD = """
SELECT t.ord - 1, r.mean_kw, r.kwh, r.rows_seen FROM unnest(%s::text[], %s::timestamptz[])
    WITH ORDINALITY t (facility_id, starts_at, ord)
JOIN rollups r ON (r.facility_id, r.step_s, r.starts_at) = (t.facility_id, 900, t.starts_at)
"""

_SETTLED = """
CREATE TEMP TABLE IF NOT EXISTS settled_rollups (
    facility int4, step_s int4, starts_at timestamptz, mean_kw float8, kwh float8, min_kw float8, max_kw float8,
    coverage_pct float4, readings int4, replaced int4, rows_seen int4
) ON COMMIT DELETE ROWS
"""
_FIELDS = [
    ("facility", ">i4"),
    ("step_s", ">i4"),
    ("starts_at", ">i8"),
    ("mean_kw", ">f8"),
    ("kwh", ">f8"),
    ("min_kw", ">f8"),
    ("max_kw", ">f8"),
    ("coverage_pct", ">f4"),
    ("readings", ">i4"),
    ("replaced", ">i4"),
    ("rows_seen", ">i4"),
]

_FORGET_MINUTES = """
DELETE FROM rollups r USING unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
WHERE r.facility_id = t.facility_id AND r.step_s = 60
    AND r.starts_at >= t.starts_at AND r.starts_at < t.starts_at + interval '900 s'
"""

_KEEP = """
WITH kept AS (
    INSERT INTO rollups (facility_id, step_s, starts_at, mean_kw, kwh, min_kw, max_kw, coverage_pct, readings,
        replaced, rows_seen, settled_at)
    SELECT f.facility_id, step_s, starts_at, nullif(mean_kw, 'NaN'), nullif(kwh, 'NaN'), nullif(min_kw, 'NaN'),
        nullif(max_kw, 'NaN'), coverage_pct, readings, replaced, rows_seen, %(at)s
    FROM settled_rollups n JOIN unnest(%(facilities)s::text[]) WITH ORDINALITY AS f (facility_id, ord)
        ON f.ord = n.facility + 1
    ON CONFLICT (facility_id, step_s, starts_at) DO UPDATE SET mean_kw = EXCLUDED.mean_kw, kwh = EXCLUDED.kwh,
        min_kw = EXCLUDED.min_kw, max_kw = EXCLUDED.max_kw, coverage_pct = EXCLUDED.coverage_pct,
        readings = EXCLUDED.readings, replaced = EXCLUDED.replaced, rows_seen = EXCLUDED.rows_seen,
        settled_at = EXCLUDED.settled_at
    RETURNING facility_id, step_s, starts_at, mean_kw, kwh, coverage_pct
)
INSERT INTO interval_readings
    (facility_id, starts_at, step_s, source, mean_kw, kwh, coverage_pct, updated_at)
SELECT facility_id, starts_at, step_s, 'meter', mean_kw, kwh, coverage_pct, %(at)s FROM kept WHERE step_s = 900
ON CONFLICT (facility_id, starts_at, step_s, source) DO UPDATE SET mean_kw = EXCLUDED.mean_kw,
    kwh = EXCLUDED.kwh, coverage_pct = EXCLUDED.coverage_pct, updated_at = EXCLUDED.updated_at
"""

# Whole only with all four quarters; a quarter without a row is a gap.
_HOURS = """
INSERT INTO rollups (facility_id, step_s, starts_at, mean_kw, kwh, min_kw, max_kw, coverage_pct, readings, replaced,
    rows_seen, settled_at)
SELECT h.facility_id, 3600, h.starts_at, CASE WHEN count(mean_kw) = 4 THEN avg(mean_kw ORDER BY r.starts_at) END,
    CASE WHEN count(kwh) = 4 THEN sum(kwh ORDER BY r.starts_at) END, CASE WHEN count(min_kw) = 4 THEN min(min_kw) END,
    CASE WHEN count(max_kw) = 4 THEN max(max_kw) END,
    round((sum(coverage_pct::float8 ORDER BY r.starts_at) / 4)::numeric, 3), sum(readings), sum(replaced),
    sum(rows_seen), %s
FROM (
    SELECT DISTINCT facility_id, date_trunc('hour', starts_at, 'UTC') AS starts_at
    FROM unnest(%s::text[], %s::timestamptz[]) t (facility_id, starts_at)
) h JOIN rollups r ON r.facility_id = h.facility_id AND r.step_s = 900
    AND r.starts_at >= h.starts_at AND r.starts_at < h.starts_at + interval '1 hour'
GROUP BY h.facility_id, h.starts_at
ON CONFLICT (facility_id, step_s, starts_at) DO UPDATE SET mean_kw = EXCLUDED.mean_kw, kwh = EXCLUDED.kwh,
    min_kw = EXCLUDED.min_kw, max_kw = EXCLUDED.max_kw, coverage_pct = EXCLUDED.coverage_pct,
    readings = EXCLUDED.readings, replaced = EXCLUDED.replaced, rows_seen = EXCLUDED.rows_seen,
    settled_at = EXCLUDED.settled_at
"""

_SETTLED_BY = """
UPDATE telemetry_positions SET settled_by = %(at)s
WHERE partition = %(partition)s AND (settled_by IS NULL OR settled_by < %(at)s)
"""

Old = dict[int, tuple[float | None, float | None, int]]


def settle_quarters(conn: Connection, partition: int, *, at: datetime, limit: int) -> Settled:
    """At most `limit` of the partition's that are due. The caller holds the partition's lock."""
    every = due(conn, partition, at - SETTLED_AFTER, limit=limit)
    if not every:
        return Settled()
    file_recent(conn, partition, at=at)
    quarters = _together(conn, every)
    found = computed(conn, quarters, news=quarters)
    note_presence(conn, partition, found.present)
    old: Old = {row[0]: row[1:] for row in conn.execute(_OLD, columns(quarters))}
    outdated = _outdated(conn, [quarters[n] for n in old])
    _keep_current(conn, found.newest)
    _keep_current(conn, _looked_up(conn, outdated, found.newest))
    corrected = _keep(conn, found, old, at)
    if found.repeated:
        make_one_word(conn, found.repeated)
    forget(conn, quarters)
    conn.execute(_SETTLED_BY, {"at": at, "partition": partition})
    return Settled(quarters=len(quarters), corrected=corrected, more=len(quarters) < len(every))


def _together(conn: Connection, quarters: Sequence[Quarter]) -> Sequence[Quarter]:
    """The first of them, as many as are computed from no more readings than one transaction may hold."""
    reached = accumulate(read_for(conn, quarters))
    return quarters[: max(1, sum(1 for readings in reached if readings <= MOST_READINGS))]


def _keep_current(conn: Connection, newest: Sequence[NewestOfMeter]) -> None:
    """The quarters are in order of time: what comes later replaces what came before."""
    merged: dict[tuple[str, str], NewestOfMeter] = {}
    for one in newest:
        before = merged.get((one.facility_id, one.meter_id))
        merged[one.facility_id, one.meter_id] = one if before is None else one.after(before)
    if merged:
        rows = merged.values()
        conn.execute(
            _CURRENT,
            (
                texts([one.facility_id for one in rows]),
                texts([one.meter_id for one in rows]),
                moments([one.first_at for one in rows]),
                moments([one.newest_at for one in rows]),
                doubles(np.array([one.kw for one in rows], dtype=np.float64)),
                moments([one.kw_at or one.newest_at for one in rows]),
                doubles(np.array([one.kwh_total for one in rows], dtype=np.float64)),
                moments([one.kwh_total_at or one.newest_at for one in rows]),
            ),
        )


def _outdated(conn: Connection, again: Sequence[Quarter]) -> dict[Lost, datetime]:
    """The current values that were of quarter-hours settled `again`, and are no more, with the starts of these."""
    found: dict[Lost, datetime] = {}
    if again:
        for value in VALUES:
            query = _OUTDATED.format(value=value).encode()
            for facility_id, meter_id, start in conn.execute(query, columns(again)):
                found[facility_id, meter_id, value] = start.astimezone(UTC)
    return found


def _looked_up(
    conn: Connection, outdated: Mapping[Lost, datetime], newest: Sequence[NewestOfMeter]
) -> list[NewestOfMeter]:
    """What the meters said before, of which the quarter-hours say nothing usable any more."""
    said = {(one.facility_id, one.meter_id, "kw") for one in newest if one.kw_at is not None}
    said |= {(one.facility_id, one.meter_id, "kwh_total") for one in newest if one.kwh_total_at is not None}
    earlier = look_back(conn, {lost: start for lost, start in outdated.items() if lost not in said})
    return [
        NewestOfMeter(*meter, one.newest_at, *msgspec.structs.astuple(one)) for meter, one in earlier.items()
    ]


def _keep(conn: Connection, found: ComputedQuarters, old: Old, at: datetime) -> int:
    """Write the rollups that readings are still there for; how many of the quarters were corrected."""
    seen = np.array([max(old[n][2], 1) if n in old else 1 for n in range(len(found.quarters))])
    kept = np.flatnonzero(found.rows_seen >= seen)
    if not len(kept):
        return 0
    settled = [found.quarters[int(n)] for n in kept]
    facilities, starts = columns(settled)
    before = [int(n) for n in kept if n in old]
    if before:
        conn.execute(_FORGET_MINUTES, columns([found.quarters[n] for n in before]))
    conn.execute(_SETTLED)
    with conn.cursor().copy("COPY settled_rollups FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_rows(found, kept, [start for _, start in settled]))
    conn.execute(_KEEP, {"facilities": facilities, "at": at})
    conn.execute(_HOURS, (at, facilities, starts))
    return _publish(conn, found, kept, old, at)


def _rows(found: ComputedQuarters, kept: NDArray[np.int64], starts: Sequence[datetime]) -> bytes:
    start_s = np.array([start.timestamp() for start in starts])
    minutes, whole = chosen(found.minutes, kept), chosen(found.whole, kept)
    where, minute = np.nonzero((minutes.readings > 0) | (minutes.coverage_pct > 0))
    number = np.concatenate([where, np.arange(len(kept))])
    fields: dict[str, NDArray[Any]] = {
        "facility": number,
        "step_s": np.concatenate([np.full(len(where), MINUTE_S), np.full(len(kept), INTERVAL_S)]),
        "starts_at": timestamps(np.concatenate([start_s[where] + minute * MINUTE_S, start_s])),
        "rows_seen": found.rows_seen[kept][number],
    }
    for name in RollupColumns.__struct_fields__:
        fields[name] = np.concatenate([getattr(minutes, name)[where, minute], getattr(whole, name)[:, 0]])
    return copy_of(_FIELDS, fields)


def _publish(
    conn: Connection, found: ComputedQuarters, kept: NDArray[np.int64], old: Old, at: datetime
) -> int:
    corrections = []
    for n in kept.tolist():
        facility_id, start = found.quarters[n]
        mean, kwh = (_known(column[n, 0]) for column in (found.whole.mean_kw, found.whole.kwh))
        if n in old and old[n][:2] == (mean, kwh):
            continue
        if n in old or start < at - LATE_AFTER:
            old_mean, old_kwh, _ = old.get(n, (None, None, 0))
            corrections.append(
                Correction(
                    facility_id=facility_id,
                    starts_at=start,
                    old_mean_kw=old_mean,
                    new_mean_kw=mean,
                    old_kwh=old_kwh,
                    new_kwh=kwh,
                )
            )
    tell_corrections(conn, corrections, at=at)
    return len(corrections)


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
