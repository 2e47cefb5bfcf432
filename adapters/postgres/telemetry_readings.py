"""Readings into PostgreSQL in the caller's transaction, and a note of the quarter-hours that they are news to.

What is new goes in by one INSERT of columns. Only where some were known already they are compared with what is
stored, and the one of higher precedence stays (domain.meter_reading.precedence): a repeat costs no write.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg

from adapters.postgres.array_params import (
    ArrayParam,
    bigints,
    booleans,
    doubles,
    integers,
    smallints,
    texts,
    timestamps_param,
)
from adapters.postgres.binary_rows import timestamps
from domain.meter_reading import TRUST, MeterReading

Connection = psycopg.Connection[Any]

_TRUST = "ARRAY[" + ", ".join(f"'{quality}'" for quality in TRUST) + "]"
_MOST_TRUSTED = len(TRUST) - 1

# Columns that are everywhere as they usually are come as empty arrays, which unnest fills up with NULL.
_INCOMING = """
    unnest(%(ts)s, %(meters)s, %(facilities)s, %(kw)s, %(kwh_total)s, %(seq)s, %(revision)s, %(trust)s,
        %(incomplete)s, %(extra)s)
        AS incoming (ts, meter_id, facility_id, kw, kwh_total, seq, revision, trust, incomplete, extra)
"""
_COLUMNS = f"""
    nullif(kw, 'NaN') AS kw, nullif(kwh_total, 'NaN') AS kwh_total, nullif(seq, -1) AS seq,
    ({_TRUST})[coalesce(trust, {_MOST_TRUSTED}) + 1] AS quality, coalesce(incomplete, false) AS incomplete,
    extra::jsonb AS extra, coalesce(revision, 0) AS revision
"""

# A quarter-hour's register ends with the first readings after it, and its coverage begins with those before it.
_NOTE = """
    INSERT INTO unsettled_quarters (facility_id, starts_at, partition)
    SELECT DISTINCT n.facility_id, q.starts_at, %(partition)s::smallint FROM (
        SELECT facility_id, date_bin('15 minutes', ts, 'epoch') AS quarter, min(ts) AS first_at
        FROM changed GROUP BY 1, 2
    ) n, LATERAL (VALUES (quarter), (quarter + interval '15 minutes'),
        (CASE WHEN first_at < quarter + interval '300 s' THEN quarter - interval '15 minutes' END)) q (starts_at)
    WHERE q.starts_at IS NOT NULL
    ON CONFLICT DO NOTHING
"""

_MOVE_POSITION = """
    INSERT INTO telemetry_positions AS p (partition, stream_seq, stored_at)
    VALUES (%(partition)s, %(stream_seq)s, %(at)s)
    ON CONFLICT (partition) DO UPDATE
        SET stream_seq = greatest(p.stream_seq, EXCLUDED.stream_seq), stored_at = EXCLUDED.stored_at
"""

_ADD = f"""
WITH changed AS (
    INSERT INTO readings
        (ts, meter_id, facility_id, kw, kwh_total, seq, quality, incomplete, extra, revision)
    SELECT ts, meter_id, facility_id, {_COLUMNS} FROM {_INCOMING}
    ON CONFLICT DO NOTHING
    RETURNING facility_id, ts
), noted AS ({_NOTE}), moved AS ({_MOVE_POSITION})
SELECT count(*) FROM changed
"""  # noqa: S608 - our own column names


def _precedence(row: str, trust: str, *, none: str = "NULL") -> str:
    """As domain.meter_reading.precedence."""
    return f"""(
        {row}.revision, {trust}, coalesce({row}.seq, -1), coalesce(-{row}.kw, '-Infinity'),
        coalesce(-{row}.kwh_total, '-Infinity'), NOT {row}.incomplete, coalesce({row}.extra::text, '') COLLATE "C"
    )"""


_CORRECT = f"""
WITH known AS (
    SELECT ts, meter_id, facility_id, coalesce(trust, {_MOST_TRUSTED}) AS trust, {_COLUMNS} FROM {_INCOMING}
), best AS (
    SELECT DISTINCT ON (ts, meter_id, facility_id) * FROM known i
    ORDER BY ts, meter_id, facility_id, {_precedence("i", "i.trust")} DESC
), changed AS (
    UPDATE readings r SET kw = b.kw, kwh_total = b.kwh_total, seq = b.seq, quality = b.quality,
        incomplete = b.incomplete, extra = b.extra, revision = b.revision
    FROM best b
    WHERE (r.ts, r.meter_id, r.facility_id) = (b.ts, b.meter_id, b.facility_id)
        AND {_precedence("b", "b.trust")} > {_precedence("r", f"array_position({_TRUST}, r.quality) - 1")}
    RETURNING r.facility_id, r.meter_id, r.ts
), noted AS ({_NOTE})
SELECT facility_id, meter_id, ts FROM changed
"""  # noqa: S608 - our own column names

# The current value of a meter whose newest reading was corrected is looked for again.
_CURRENT_AGAIN = """
UPDATE current_values c SET
    (kw, kw_at) = (SELECT r.kw, r.ts FROM readings r WHERE r.facility_id = c.facility_id AND r.meter_id = c.meter_id
        AND r.kw IS NOT NULL AND r.quality NOT IN ('bad', 'missing') ORDER BY r.ts DESC LIMIT 1),
    (kwh_total, kwh_total_at) = (SELECT r.kwh_total, r.ts FROM readings r
        WHERE r.facility_id = c.facility_id AND r.meter_id = c.meter_id
        AND r.kwh_total IS NOT NULL AND r.quality NOT IN ('bad', 'missing') ORDER BY r.ts DESC LIMIT 1)
FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) n (facility_id, meter_id, ts)
WHERE (c.facility_id, c.meter_id) = (n.facility_id, n.meter_id) AND n.ts IN (c.kw_at, c.kwh_total_at)
"""


def add_readings(
    conn: Connection, partition: int, stream_seq: int, readings: Sequence[MeterReading], *, at: datetime
) -> int:
    """Add what is new, correct what is superseded, move the position. How many readings changed what is stored.

    The caller holds the partition's lock.
    """
    position = {"partition": partition, "stream_seq": stream_seq, "at": at}
    if not readings:
        conn.execute(_MOVE_POSITION, position)
        return 0
    columns = _columns(readings)
    row = conn.execute(_ADD, {**columns, **position}).fetchone()
    added = int(row[0]) if row is not None else 0
    if added == len(readings):
        return added
    corrected = conn.execute(_CORRECT, {**columns, **position}).fetchall()
    if corrected:
        conn.execute(_CURRENT_AGAIN, tuple(list(column) for column in zip(*corrected, strict=True)))
    return added + len(corrected)


def _columns(readings: Sequence[MeterReading]) -> dict[str, ArrayParam]:
    revision = np.array([r.revision for r in readings], dtype=np.int32)
    trust = np.array([_RANK[r.quality] for r in readings], dtype=np.int16)
    incomplete = np.array([r.incomplete for r in readings], dtype=np.int8)
    extra = [r.extra for r in readings]
    return {
        "ts": timestamps_param(timestamps(np.array([r.ts.timestamp() for r in readings]))),
        "meters": texts([r.meter_id for r in readings]),
        "facilities": texts([r.facility_id for r in readings]),
        "kw": doubles(np.array([r.kw for r in readings], dtype=np.float64)),
        "kwh_total": doubles(np.array([r.kwh_total for r in readings], dtype=np.float64)),
        "seq": bigints(np.array([-1 if r.seq is None else r.seq for r in readings], dtype=np.int64)),
        "revision": integers(revision if revision.any() else revision[:0]),
        "trust": smallints(trust if (trust != _MOST_TRUSTED).any() else trust[:0]),
        "incomplete": booleans(incomplete if incomplete.any() else incomplete[:0]),
        "extra": texts(extra if any(extra) else []),
    }


_RANK = {quality: rank for rank, quality in enumerate(TRUST)}


def days_of(readings: Sequence[MeterReading]) -> set[datetime]:
    """The UTC days, as midnights, that `readings` fall on."""
    return {midnight(r.ts) for r in readings}


def midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def days_between(first: datetime, last: datetime) -> list[datetime]:
    """The UTC midnights from the day of `first` through the day of `last`."""
    start = midnight(first)
    return [start + timedelta(days=n) for n in range((midnight(last) - start).days + 1)]
