"""Deduplication of readings: which readings are new compared with the stored ones, and which of several for
one moment is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg

from adapters.postgres.telemetry.readings.chunk_decoder import StoredReadings
from adapters.postgres.telemetry.readings.chunk_encoder import chunks_of, copy_chunks
from adapters.postgres.telemetry.readings.chunk_query import ChunkRange, readings_in
from adapters.postgres.wire_format.copy_format import POSTGRES_EPOCH
from domain.telemetry.intervals import INTERVAL, interval_start
from domain.telemetry.meter_reading import TRUST, MeterReading, conflict_rank
from domain.telemetry.minute_ranges import MINUTE_S
from domain.telemetry.reading_block import ReadingBlock

Connection = psycopg.Connection[Any]

MINUTE = timedelta(seconds=MINUTE_S)

# One by one by the index: without statistics the planner would read the chunks of all facilities.
_DELETE = "DELETE FROM reading_chunks WHERE quarter = %s AND facility_id = %s"


def novel_readings(conn: Connection, readings: Sequence[MeterReading]) -> list[MeterReading]:
    """The readings that outrank the stored ones, one per meter and moment."""
    # By minute, like the chunks: for a backlog each quarter-hour would otherwise be read many times.
    minutes = sorted(
        {(r.facility_id, r.ts.astimezone(UTC).replace(second=0, microsecond=0)) for r in readings}
    )
    spans = [
        ChunkRange(n, facility_id, interval_start(start), start, start + MINUTE)
        for n, (facility_id, start) in enumerate(minutes)
    ]
    stored = {_place(r): r for r in stored_as_readings(readings_in(conn, spans), [f for f, _ in minutes])}
    best: dict[tuple[str, str, datetime], MeterReading] = {}
    for reading in readings:
        place = _place(reading)
        previous = best.get(place) or stored.get(place)
        if previous is None or conflict_rank(reading) > conflict_rank(previous):
            best[place] = reading
    return list(best.values())


def _place(reading: MeterReading) -> tuple[str, str, datetime]:
    return reading.facility_id, reading.meter_id, reading.ts


def deduplicate(conn: Connection, quarters: Sequence[tuple[str, datetime]]) -> None:
    """Keep only the reading with the highest rank for each meter and moment. The caller holds the partition's
    lock."""
    spans = [
        ChunkRange(n, facility_id, start, start, start + INTERVAL)
        for n, (facility_id, start) in enumerate(quarters)
    ]
    stored = readings_in(conn, spans)
    delete_chunks(conn, quarters)
    facilities = [facility_id for facility_id, _ in quarters]
    copy_chunks(conn, [chunks_of(ReadingBlock.of(stored_as_readings(stored, facilities)))])


def delete_chunks(conn: Connection, quarters: Sequence[tuple[str, datetime]]) -> None:
    """Delete all readings of quarter-hours of facilities."""
    with conn.cursor() as cursor:
        cursor.executemany(_DELETE, [(start, facility_id) for facility_id, start in quarters])


def stored_as_readings(stored: StoredReadings, facilities: Sequence[str]) -> list[MeterReading]:
    """The readings that count; `facilities`: that of each owner."""
    columns = stored.columns
    kw, kwh_total = (
        [None if np.isnan(value) else value for value in values.tolist()]
        for values in (columns.kw, columns.kwh_total)
    )
    return [
        MeterReading(
            facilities[stored.meters[place][0]],
            stored.meters[place][1],
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
