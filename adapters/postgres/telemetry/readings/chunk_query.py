"""Query for readings in columns, for many time ranges at once. Of several readings of a meter for one moment,
the one with the highest rank is returned.

The query returns one row for all chunks of an owner with the same meters, with their arrays concatenated.
Fetching single chunks takes ten times as long, mostly for the names of the meters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray

from adapters.postgres.telemetry.readings.chunk_decoder import (
    DecodedRows,
    StoredReadings,
    decode_full,
    decode_plain,
    default_columns,
    merge,
)
from adapters.postgres.telemetry.readings.recent import recent_readings
from adapters.postgres.wire_format.array_parameters import integers, moments, texts
from adapters.postgres.wire_format.copy_format import POSTGRES_EPOCH_S
from domain.telemetry.intervals import INTERVAL, interval_start
from domain.telemetry.reading_arrays import MOST_TRUSTED
from domain.telemetry.reading_block import ReadingBlock, microseconds

Connection = psycopg.Connection[Any]
_EPOCH_US = POSTGRES_EPOCH_S * 1_000_000

# The constant bounds let the planner skip the partitions of other days. OFFSET 0 forces an index lookup per
# range; without statistics, as for a new partition, the planner would read the chunks of all facilities.
_SPANS = """
FROM unnest(%(owners)s::int[], %(facilities)s::text[], %(quarters)s::timestamptz[], %(lows)s::timestamptz[],
    %(highs)s::timestamptz[]) AS t (owner, facility_id, quarter, low, high),
LATERAL (
    SELECT *, trust IS NOT NULL OR revision IS NOT NULL OR incomplete IS NOT NULL OR extra IS NOT NULL AS is_odd
    FROM reading_chunks c WHERE c.quarter = t.quarter AND c.facility_id = t.facility_id
        AND c.ts[1] >= t.low AND c.ts[1] < t.high AND c.quarter >= %(first)s AND c.quarter <= %(last)s
    OFFSET 0
) AS c
"""
_PLAIN = f"""
SELECT t.owner, array_to_string(c.meter_ids, E'\\x1f'), string_agg(array_send(c.ts), '') FILTER (WHERE NOT is_odd),
    string_agg(array_send(c.kw), '') FILTER (WHERE NOT is_odd),
    string_agg(array_send(c.kwh_total), '') FILTER (WHERE NOT is_odd),
    string_agg(array_send(c.seq), '') FILTER (WHERE NOT is_odd), bool_or(is_odd)
{_SPANS} GROUP BY t.owner, c.meter_ids
"""
_WHOLE = f"""
SELECT t.owner, string_agg(r.meter_id, E'\\x1f'), array_send(array_agg(r.ts)), array_send(array_agg(r.kw)),
    array_send(array_agg(r.kwh_total)), array_send(array_agg(r.seq)),
    array_send(array_agg(coalesce(r.trust, {MOST_TRUSTED}::int2))), array_send(array_agg(coalesce(r.revision, 0))),
    array_send(array_agg((coalesce(r.incomplete, false))::int4)), array_agg(r.extra)
{_SPANS}, unnest(c.meter_ids, c.ts, c.kw, c.kwh_total, c.seq, c.trust, c.revision, c.incomplete, c.extra)
    AS r (meter_id, ts, kw, kwh_total, seq, trust, revision, incomplete, extra)
WHERE is_odd GROUP BY t.owner
"""

_COUNTS = f"SELECT t.owner, sum(cardinality(c.ts)) {_SPANS} GROUP BY t.owner"


class ChunkRange(NamedTuple):
    """Chunks of one quarter-hour of a facility that begin in a time range. Ranges with the same `owner` are
    read as one."""

    owner: int
    facility_id: str
    quarter: datetime
    low: datetime
    high: datetime


def chunk_ranges(owner: int, facility_id: str, starts_from: datetime, ends_at: datetime) -> list[ChunkRange]:
    """The ranges of a facility's chunks that hold readings between two times; they may hold others of the
    same minutes."""
    first = interval_start(starts_from)
    number = -(-(ends_at - first) // INTERVAL)
    low = starts_from.astimezone(UTC).replace(second=0, microsecond=0)
    return [ChunkRange(owner, facility_id, first + INTERVAL * n, low, ends_at) for n in range(number)]


def readings_in(
    conn: Connection, ranges: Sequence[ChunkRange], recent: ReadingBlock | None = None
) -> StoredReadings:
    """The readings of ranges in any order. `recent`: the buffered readings of their facilities, if they were
    read before."""
    # Read first: readings that are moved into chunks meanwhile are then found twice and counted once, instead
    # of missed.
    if recent is None:
        recent = recent_readings(conn, {range_.facility_id for range_ in ranges})
    rows = _query(conn, _PLAIN, ranges)
    rare = {row[0] for row in rows if row[-1]}
    parts = [decode_plain([row for row in rows if row[2] is not None])]
    if len(recent):
        parts.append(_buffered(recent, ranges))
    if rare:
        parts.append(decode_full(_query(conn, _WHOLE, [range_ for range_ in ranges if range_.owner in rare])))
    return merge(parts)


def counts_in(conn: Connection, ranges: Sequence[ChunkRange]) -> dict[int, int]:
    """Owner -> number of readings in its chunks, outranked ones included. Owners without readings are left
    out."""
    return {owner: int(count) for owner, count in _query(conn, _COUNTS, ranges)}


def _query(conn: Connection, query: str, ranges: Sequence[ChunkRange]) -> list[Any]:
    if not ranges:
        return []
    owners, facilities, quarters, lows, highs = zip(*ranges, strict=True)
    params = {
        "owners": integers(np.array(owners)),
        "facilities": texts(facilities),
        "quarters": moments(quarters),
        "lows": moments(lows),
        "highs": moments(highs),
    }
    bounds = {"first": min(quarters), "last": max(quarters)}
    with conn.cursor(binary=True) as cursor:
        return cursor.execute(query.encode(), {**params, **bounds}).fetchall()


def _buffered(block: ReadingBlock, ranges: Sequence[ChunkRange]) -> DecodedRows:
    """Buffered readings in ranges; nothing for facilities without a range."""
    whose = block.facility_of_each()
    number = {facility_id: n for n, facility_id in enumerate(dict.fromkeys(whose))}
    ranges = [range_ for range_ in ranges if range_.facility_id in number]
    if not ranges:
        return DecodedRows([], [], np.empty(0, dtype=np.int64), [column[:0] for column in _columns(block)])
    # Sorted by facility and time, so that each range is one slice.
    first_us = int(block.ts_us.min())
    width = int(block.ts_us.max()) - first_us + 1
    key = np.array([number[one] for one in whose], dtype=np.int64) * (width + 1) + block.ts_us - first_us
    order = np.argsort(key, kind="stable")
    begins, ends = (
        np.searchsorted(
            key[order],
            np.array([number[range_.facility_id] for range_ in ranges], dtype=np.int64) * (width + 1)
            + np.clip(microseconds(bounds) - first_us, 0, width),
        )
        for bounds in (
            [max(range_.low, range_.quarter) for range_ in ranges],
            [min(range_.high, range_.quarter + INTERVAL) for range_ in ranges],
        )
    )
    counts = np.maximum(ends - begins, 0)
    place = order[np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - begins, counts)]
    meters = block.meter_of_each()
    some = np.flatnonzero(counts).tolist()
    names = [[meters[n] for n in order[begins[one] : ends[one]].tolist()] for one in some]
    return DecodedRows(
        [ranges[one].owner for one in some],
        names,
        counts[some],
        [column[place] for column in _columns(block)],
    )


def _columns(block: ReadingBlock) -> list[NDArray[Any]]:
    return [block.ts_us - _EPOCH_US, block.kw, block.kwh_total, block.seq, *default_columns(len(block))]
