"""Benchmark ingest_write: idempotent writes compared with a bare COPY of the same readings, at growing table sizes.

Each batch is written through the store in columns, as `aggregate` does (it marks quarter-hours and moves the position),
read back as rows in COPY's binary format, and copied by the same server into a table without an index. Both commit each
batch. The written readings belong to the current quarter-hour, the readings that fill the table are older. The number
of single meters is one partition's share of 260,000 at a cadence of 15 s: when enough readings wait to be filed, each
of a facility's ten meters has sent one. The filing is included in the figures. Each facility's first reading of the
quarter-hour, which marks it, is written before. `--scale 10` goes up to a hundred million readings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import count
from statistics import fmean

import psycopg
from psycopg import sql

from domain.telemetry.meter_reading import MeterReading, partition_of
from domain.telemetry.reading_block import ReadingBlock
from interfaces.bootstrap.stores import Stores
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.setup import open_bench_stores

SIZES = (1_000_000, 10_000_000)
METERS, PER_FACILITY, CADENCE_S = 100_000, 10, 15
SINGLE_METERS = 260_000
BATCH = 1_000
"""Readings of one partition in 150 ms, of a million meters at a cadence of 15 s."""
_PARTITION = 0
_BARE, _INDEXED = "bare_copy", "indexed_copy"

_ROWS = """
CREATE TABLE gridproof.{table} (ts timestamptz NOT NULL, meter_id text COLLATE "C" NOT NULL,
    facility_id text COLLATE "C" NOT NULL, kw float8, kwh_total float8, seq bigint)
"""
_INDEXES = """
ALTER TABLE gridproof.{table} ADD PRIMARY KEY (ts, meter_id, facility_id);
CREATE INDEX ON gridproof.{table} (facility_id, ts)
"""
_FILL = """
INSERT INTO gridproof.reading_chunks (quarter, facility_id, meter_ids, ts, kw, kwh_total, seq)
SELECT date_bin('15 minutes', said.ts, 'epoch'), 'fac-' || lpad(facility::text, 6, '0'), of.meters,
    array_fill(said.ts, ARRAY[%(each)s]), array_fill(10.0::float8, ARRAY[%(each)s]),
    array_fill(round::float8, ARRAY[%(each)s]), array_fill(round::bigint, ARRAY[%(each)s])
FROM generate_series(%(first)s::int, %(last)s::int) round,
    LATERAL (SELECT %(now)s - (round * 15) * interval '1 s' AS ts) said,
    generate_series(0, %(meters)s / %(each)s - 1) facility,
    LATERAL (SELECT array_agg('m' || lpad((facility * %(each)s + n)::text, 7, '0')) AS meters
        FROM generate_series(0, %(each)s - 1) n) of
"""


def ingest_write(env: BenchEnvironment) -> Iterator[Figure]:
    """Readings per second over one connection, compared with COPY."""
    with (
        env.database() as database,
        closing(open_bench_stores(database.app_url)) as stores,
        psycopg.connect(database.owner_url, autocommit=True) as owner,
    ):
        owner.execute(_ROWS.format(table=_BARE).encode())
        owner.execute((_ROWS + ";" + _INDEXES).format(table=_INDEXED).encode())
        writing = _Writing(stores, owner, meters=env.sized(METERS, least=BATCH))
        for size in SIZES:
            rows = env.sized(size, least=1)
            env.report(f"ingest-write: filling the table up to {rows} readings")
            writing.fill(rows)
            yield writing.measured(batches=3 * env.rounds, gateway=PER_FACILITY)
            # Twice the number of readings that are filed at once.
            yield writing.measured(batches=round(4.4 * env.rounds), gateway=1)


class _Writing:
    """Meters that send every 15 s, and the measured writes."""

    def __init__(self, stores: Stores, owner: psycopg.Connection, *, meters: int) -> None:
        self._stores = stores
        self._store = stores.telemetry()
        self._owner = owner
        self._meters = meters
        self._facilities = [f"fac-{n:06}" for n in range(meters // PER_FACILITY)]
        every = (f"fac-{n:06}" for n in range(SINGLE_METERS // PER_FACILITY))
        self._single = [one for one in every if partition_of(one) == _PARTITION]
        self._now = stores.clock.now().replace(microsecond=0)
        self._rounds = 0
        self._seqs = count(1)
        self._moments = count(1)

    def fill(self, rows: int) -> None:
        """Fill the table with whole rounds of all meters, going back in time, up to this number of readings."""
        last = -(-rows // self._meters)
        if last > self._rounds:
            first_at = self._now - timedelta(seconds=CADENCE_S * last)
            self._store.prepare_days(first_at, self._now)
            span = {"now": self._now, "first": self._rounds + 1, "last": last}
            self._owner.execute(_FILL.encode(), {**span, "meters": self._meters, "each": PER_FACILITY})
            self._rounds = last
            self._owner.execute("VACUUM ANALYZE gridproof.reading_chunks")

    def measured(self, *, batches: int, gateway: int) -> Figure:
        """Measure writes. `gateway`: readings of a facility per message."""
        rows = self._rounds * self._meters
        ours_s, bare_s, indexed_s = [], [], []
        cpu_s = 0.0
        facility_ids = self._single if gateway == 1 else self._facilities
        first = -(-len(facility_ids) // BATCH) if gateway == 1 else 0
        for number, readings in enumerate(self._batches(facility_ids, first + batches, gateway)):
            began_cpu_s, began = time.process_time(), time.perf_counter()
            self._store.write_readings(_PARTITION, next(self._seqs), readings)
            took_s, took_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu_s
            if number < first:
                continue
            ours_s.append(took_s)
            cpu_s += took_cpu_s
            copied = self._as_copied(readings)
            bare_s.append(self._copy_s(_BARE, copied))
            indexed_s.append(self._copy_s(_INDEXED, copied))
        ours, bare, indexed = (BATCH / fmean(seconds) for seconds in (ours_s, bare_s, indexed_s))
        shape = "single meters" if gateway == 1 else f"gateways of {gateway}"
        return figure(
            f"idempotent write at {rows} readings, {shape}",
            unit="readings/s",
            ours=ours,
            floor=bare,
            details={
                "us per reading": round(1e6 / ours, 2),
                "client cpu us per reading": round(cpu_s / (BATCH * batches) * 1e6, 2),
                "floor": "binary COPY of the same readings, a row each, into a table without index, a commit each",
                "COPY into a small table with two indexes, readings/s": round(indexed),
                "ratio to that": round(ours / indexed, 3),
                "readings a batch": BATCH,
                "batches": batches,
            },
        )

    def _batches(self, facility_ids: Sequence[str], number: int, gateway: int) -> Iterator[ReadingBlock]:
        """Batches by facility; with `gateway` 1 consecutive readings belong to different facilities."""
        for batch in range(number):
            ts = self._now + timedelta(milliseconds=next(self._moments))
            numbers = range(batch * BATCH, (batch + 1) * BATCH)
            each = [facility_ids[(n // gateway) % len(facility_ids)] for n in numbers]
            yield ReadingBlock.of([self._reading(one, n, ts) for one, n in zip(each, numbers, strict=True)])

    def _reading(self, facility_id: str, meter: int, ts: datetime) -> MeterReading:
        return MeterReading(facility_id, f"m{meter:07}", ts, 10.0 + meter % 50, 1.0, self._rounds)

    def _as_copied(self, readings: ReadingBlock) -> bytes:
        query = """COPY (SELECT r.ts, r.meter_id, c.facility_id, r.kw, r.kwh_total, r.seq
            FROM gridproof.stored_chunks c, unnest(c.meter_ids, c.ts, c.kw, c.kwh_total, c.seq)
                AS r (meter_id, ts, kw, kwh_total, seq)
            WHERE c.quarter = date_bin('15 minutes', {0}::timestamptz, 'epoch') AND c.ts[1] = {0} AND r.ts = {0}
        ) TO STDOUT (FORMAT BINARY)"""
        queried = sql.SQL(query).format(readings[0].ts)
        with self._owner.cursor() as cursor, cursor.copy(queried) as copying:
            return b"".join(bytes(part) for part in copying)

    def _copy_s(self, table: str, copied: bytes) -> float:
        began = time.perf_counter()
        with (
            self._owner.cursor() as cursor,
            cursor.copy(f"COPY gridproof.{table} FROM STDIN (FORMAT BINARY)".encode()) as copying,
        ):
            copying.write(copied)
        return time.perf_counter() - began
