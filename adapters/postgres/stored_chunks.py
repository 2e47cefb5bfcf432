"""Readings out of their chunks, in columns, for many spans of time at once; of several words on one moment the one that
counts.

One row comes back of what the same meters said in spans of one owner, the arrays of these chunks one after the other:
taking chunks one by one costs ten times as much, and their names are most of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from adapters.postgres.array_params import integers, moments, texts
from adapters.postgres.binary_arrays import ARRAY_HEADER_BYTES, EIGHT_BYTE_ELEMENT, LENGTH_BYTES
from adapters.postgres.binary_rows import POSTGRES_EPOCH, POSTGRES_EPOCH_S, received
from adapters.postgres.reading_chunks import chunks_of, copy_chunks
from adapters.postgres.recent_readings import recent_readings
from domain.meter_intervals import INTERVAL, INTERVAL_S, interval_start
from domain.meter_reading import TRUST, MeterReading, precedence
from domain.minute_spans import MINUTE_S
from domain.reading_block import SEPARATOR, ReadingBlock, microseconds
from domain.reading_columns import MOST_TRUSTED, IntArray, ReadingColumns, standing

Connection = psycopg.Connection[Any]

MINUTE = timedelta(seconds=MINUTE_S)
_HEADER_WORDS, _ELEMENT_WORDS, _LENGTH_WORDS = (
    size // 4 for size in (ARRAY_HEADER_BYTES, EIGHT_BYTE_ELEMENT, LENGTH_BYTES)
)
_EPOCH_US = POSTGRES_EPOCH_S * 1_000_000
_EIGHTS = (">i8", ">f8", ">f8", ">i8")
"""ts, kw, kwh_total and seq."""

# The constant bounds let the planner skip the partitions of other days. OFFSET 0 has it look into the index for each
# span: of a table that it knows little of, as each is at its beginning, it would read all facilities' chunks.
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

# One by one, by the index, for the same reason.
_DELETE = "DELETE FROM reading_chunks WHERE quarter = %s AND facility_id = %s"


class Span(NamedTuple):
    """Chunks of one quarter-hour of a facility that begin in a time. Spans with one `owner` are read as one."""

    owner: int
    facility_id: str
    quarter: datetime
    low: datetime
    high: datetime


class StoredReadings(msgspec.Struct, frozen=True, eq=False):
    """What spans hold, each moment of a meter once, by owner, meter and time."""

    meters: Sequence[tuple[int, str]]
    """(Owner, meter id), in order; the columns' `meter` is the place in here."""
    columns: ReadingColumns
    """`ts_us` as PostgreSQL counts time."""
    superseded: ReadingColumns
    """What is stored and does not count."""


def spans_between(owner: int, facility_id: str, starts_from: datetime, ends_at: datetime) -> list[Span]:
    """Of a facility's chunks that hold readings in a time; they may hold others of the same minutes."""
    first = interval_start(starts_from)
    number = -(-(ends_at - first) // INTERVAL)
    low = starts_from.astimezone(UTC).replace(second=0, microsecond=0)
    return [Span(owner, facility_id, first + INTERVAL * n, low, ends_at) for n in range(number)]


def readings_in(
    conn: Connection, spans: Sequence[Span], recent: ReadingBlock | None = None
) -> StoredReadings:
    """Of spans in any order. `recent`: what waits of their facilities, where it was asked for before."""
    # First: what is filed meanwhile is found twice, and counts once.
    if recent is None:
        recent = recent_readings(conn, {span.facility_id for span in spans})
    rows = _asked(conn, _PLAIN, spans)
    rare = {row[0] for row in rows if row[-1]}
    parts = [_plain([row for row in rows if row[2] is not None])]
    if len(recent):
        parts.append(_recent(recent, spans))
    if rare:
        parts.append(_whole(_asked(conn, _WHOLE, [span for span in spans if span.owner in rare])))
    return _merged(parts)


def counts_in(conn: Connection, spans: Sequence[Span]) -> dict[int, int]:
    """By owner, how many readings its chunks hold, such as do not count included; none: no owner."""
    return {owner: int(count) for owner, count in _asked(conn, _COUNTS, spans)}


def _asked(conn: Connection, query: str, spans: Sequence[Span]) -> list[Any]:
    if not spans:
        return []
    owners, facilities, quarters, lows, highs = zip(*spans, strict=True)
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


class _Part(NamedTuple):
    owners: list[int]
    names: list[list[str]]
    """Of each row, the meters of its readings: once, or over and over again."""
    counts: IntArray
    """How many readings each row has."""
    columns: list[NDArray[Any]]
    """ts_us, kw, kwh_total, seq, trust, revision, incomplete, extra."""


def _plain(rows: Sequence[Any]) -> _Part:
    names = [row[1].split(SEPARATOR) for row in rows]
    width = np.array([len(some) for some in names], dtype=np.int64)
    chunks = np.array([len(row[2]) for row in rows], dtype=np.int64) // (
        ARRAY_HEADER_BYTES + EIGHT_BYTE_ELEMENT * width
    )
    counts = chunks * width
    at = _elements_at(np.repeat(width, chunks))
    readings = int(counts.sum())
    return _Part(
        [row[0] for row in rows],
        names,
        counts,
        [
            *(_values([row[n] for row in rows], kind, at) for n, kind in enumerate(_EIGHTS, start=2)),
            *_usual(readings),
        ],
    )  # fmt: skip


def _recent(block: ReadingBlock, spans: Sequence[Span]) -> _Part:
    """What waits in spans: a row of the part is an owner's."""
    whose = block.facility_of_each()
    number = {facility_id: n for n, facility_id in enumerate(dict.fromkeys(whose))}
    spans = [span for span in spans if span.facility_id in number]
    facility = np.array([number[one] for one in whose], dtype=np.int64)
    order = np.argsort(facility, kind="stable")
    begins = np.searchsorted(facility[order], np.arange(len(number) + 1))
    of_span = np.array([number[span.facility_id] for span in spans], dtype=np.int64)
    counts = begins[of_span + 1] - begins[of_span]
    # Each reading of a facility beside each of its spans.
    span = np.repeat(np.arange(len(spans)), counts)
    place = order[np.arange(len(span)) - np.repeat(np.cumsum(counts) - counts - begins[of_span], counts)]
    ts_us = block.ts_us[place]
    quarter, low, high = (
        microseconds(moments_)[span] for moments_ in zip(*(s[2:] for s in spans), strict=True)
    )
    inside = np.flatnonzero(
        (ts_us >= low) & (ts_us < high) & (ts_us >= quarter) & (ts_us < quarter + INTERVAL_S * 1_000_000)
    )
    owner = np.array([one.owner for one in spans], dtype=np.int64)[span[inside]]
    by_owner = np.argsort(owner, kind="stable")
    place = place[inside][by_owner]
    owners, sizes = np.unique(owner, return_counts=True)
    meters = block.meter_of_each()
    names = [meters[n] for n in place.tolist()]
    ends = np.cumsum(sizes)
    return _Part(
        owners.tolist(),
        [names[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)],
        sizes,
        [
            block.ts_us[place] - _EPOCH_US,
            block.kw[place],
            block.kwh_total[place],
            block.seq[place],
            *_usual(len(place)),
        ],
    )


def _usual(count: int) -> list[NDArray[Any]]:
    """trust, revision, incomplete, extra of readings with nothing odd about them."""
    return [
        np.full(count, MOST_TRUSTED),
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.bool_),
        np.full(count, None, dtype=np.object_),
    ]


def _elements_at(sizes: IntArray) -> IntArray:
    """Where the elements of arrays of these sizes begin, in words of four bytes."""
    chunk = np.repeat(np.arange(len(sizes)), sizes)
    return _HEADER_WORDS * (chunk + 1) + _ELEMENT_WORDS * np.arange(len(chunk)) + _LENGTH_WORDS


def _values(sent: Sequence[bytes], kind: str, at: IntArray) -> NDArray[Any]:
    """The elements of 8 bytes that begin `at`."""
    words = np.frombuffer(b"".join(sent), dtype=np.uint32)
    values = np.empty((len(at), 2), dtype=np.uint32)
    values[:, 0], values[:, 1] = words[at], words[at + 1]
    return values.view(kind).ravel().astype(np.dtype(kind).newbyteorder("="))


def _whole(rows: Sequence[Any]) -> _Part:
    kinds = (*_EIGHTS, ">i2", ">i4", ">i4")
    columns = [received([row[n] for row in rows], kind) for n, kind in enumerate(kinds, start=2)]
    columns[4:6] = [column.astype(np.int64) for column in columns[4:6]]
    columns[6] = columns[6].astype(np.bool_)
    extra = np.array([text for row in rows for text in row[9]], dtype=np.object_)
    names = [row[1].split(SEPARATOR) for row in rows]
    counts = np.array([len(some) for some in names], dtype=np.int64)
    return _Part([row[0] for row in rows], names, counts, [*columns, extra])


def _merged(parts: Sequence[_Part]) -> StoredReadings:
    """The meters are numbered in their order, so that nothing made of them depends on how rows came."""
    rows = [row for part in parts for row in zip(part.owners, part.names, part.counts.tolist(), strict=True)]
    said: dict[int, set[str]] = {}
    for owner, names, _ in rows:
        said.setdefault(owner, set()).update(names)
    meters = [(owner, name) for owner in sorted(said) for name in sorted(said[owner])]
    number: dict[int, dict[str, int]] = {owner: {} for owner in said}
    for place, (owner, name) in enumerate(meters):
        number[owner][name] = place
    meter = [np.empty(0, dtype=np.int64)]
    for owner, names, count in rows:
        known = number[owner]
        mine = np.array([known[name] for name in names], dtype=np.int64)
        meter.append(np.tile(mine, count // len(names)))
    columns = [np.concatenate(column) for column in zip(*(part.columns for part in parts), strict=True)]
    everything = ReadingColumns(np.concatenate(meter), *columns)
    kept = standing(everything)
    others = np.ones(len(everything), dtype=np.bool_)
    others[kept] = False
    return StoredReadings(meters, everything.chosen(kept), everything.chosen(others))


def new_to(conn: Connection, readings: Sequence[MeterReading]) -> list[MeterReading]:
    """Those of `readings` that would count beside what is stored, one a meter and moment."""
    # Minute by minute, as chunks are: a backlog that is caught up with would else read each quarter-hour many times.
    minutes = sorted(
        {(r.facility_id, r.ts.astimezone(UTC).replace(second=0, microsecond=0)) for r in readings}
    )
    spans = [
        Span(n, facility_id, interval_start(start), start, start + MINUTE)
        for n, (facility_id, start) in enumerate(minutes)
    ]
    stored = {_place(r): r for r in _readings(readings_in(conn, spans), [f for f, _ in minutes])}
    best: dict[tuple[str, str, datetime], MeterReading] = {}
    for reading in readings:
        place = _place(reading)
        known = best.get(place) or stored.get(place)
        if known is None or precedence(reading) > precedence(known):
            best[place] = reading
    return list(best.values())


def _place(reading: MeterReading) -> tuple[str, str, datetime]:
    return reading.facility_id, reading.meter_id, reading.ts


def make_one_word(conn: Connection, quarters: Sequence[tuple[str, datetime]]) -> None:
    """Keep of each moment of a meter the word that counts, and no other. The caller holds the partition's lock."""
    spans = [
        Span(n, facility_id, start, start, start + INTERVAL)
        for n, (facility_id, start) in enumerate(quarters)
    ]
    found = readings_in(conn, spans)
    with conn.cursor() as cursor:
        cursor.executemany(_DELETE, [(start, facility_id) for facility_id, start in quarters])
    facilities = [facility_id for facility_id, _ in quarters]
    copy_chunks(conn, [chunks_of(ReadingBlock.of(_readings(found, facilities)))])


def _readings(found: StoredReadings, facilities: Sequence[str]) -> list[MeterReading]:
    columns = found.columns
    kw, kwh_total = (
        [None if np.isnan(value) else value for value in values.tolist()]
        for values in (columns.kw, columns.kwh_total)
    )
    return [
        MeterReading(
            facilities[found.meters[place][0]],
            found.meters[place][1],
            POSTGRES_EPOCH + timedelta(microseconds=ts_us),
            kw[n],
            kwh_total[n],
            None if seq < 0 else seq,
            TRUST[trust],
            incomplete,
            extra,
            revision,
        )
        for n, (place, ts_us, seq, trust, incomplete, extra, revision) in enumerate(
            zip(
                columns.meter.tolist(),
                columns.ts_us.tolist(),
                columns.seq.tolist(),
                columns.trust.tolist(),
                columns.incomplete.tolist(),
                columns.extra.tolist(),
                columns.revision.tolist(),
                strict=True,
            )
        )
    ]
