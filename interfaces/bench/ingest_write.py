"""The idempotent write of readings against a bare COPY of the same rows, at growing sizes of the table.

Each batch is written through the store (what is new goes in, what is known is compared, quarter-hours are noted, the
position moves), read back in COPY's own binary format, and copied by the same server into a table without any index.
Both commit each batch. `--scale 10` goes up to a hundred million rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import count

import psycopg
from psycopg import sql

from domain.meter_reading import MeterReading
from interfaces.bench.bed import Bed
from interfaces.bench.figures import Figure, figure, percentile
from interfaces.bootstrap.bench import open_bench_stores
from interfaces.bootstrap.stores import Stores

SIZES = (1_000_000, 10_000_000)
METERS, PER_FACILITY, CADENCE_S = 100_000, 10, 15
BATCH = 1_000
"""Readings of one partition in 150 ms, of a million meters at a cadence of 15 s."""
_PARTITION = 0
_BARE, _INDEXED = "bare_copy", "indexed_copy"

_FILL = """
INSERT INTO gridproof.readings (ts, meter_id, facility_id, kw, kwh_total, seq)
SELECT %(day)s + (round * 15) * interval '1 s', 'm' || lpad(meter::text, 7, '0'),
    'fac-' || lpad((meter / 10)::text, 6, '0'), 10 + meter %% 50, round, round
FROM generate_series(%(first)s::int, %(last)s::int) round, generate_series(0, %(meters)s - 1) meter
"""


def ingest_write(bed: Bed) -> list[Figure]:
    """Readings a second by one connection, against COPY."""
    figures = []
    with (
        bed.database() as database,
        closing(open_bench_stores(database.app_url)) as stores,
        psycopg.connect(database.owner_url, autocommit=True) as owner,
    ):
        owner.execute(f"CREATE TABLE gridproof.{_BARE} (LIKE gridproof.readings)".encode())
        owner.execute(f"CREATE TABLE gridproof.{_INDEXED} (LIKE gridproof.readings INCLUDING ALL)".encode())
        writing = _Writing(stores, owner, meters=bed.sized(METERS, least=BATCH))
        for size in SIZES:
            rows = bed.sized(size, least=1)
            bed.tell(f"ingest-write: filling the table up to {rows} rows")
            writing.fill(rows)
            figures.append(writing.measured(batches=3 * bed.rounds))
    return figures


class _Writing:
    """Meters that say something every 15 s, in the order of time."""

    def __init__(self, stores: Stores, owner: psycopg.Connection, *, meters: int) -> None:
        self._stores = stores
        self._store = stores.telemetry()
        self._owner = owner
        self._meters = meters
        now = stores.clock.now()
        self._day = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
        self._store.prepare_days(self._day, now)
        self._rounds = 0
        self._seqs = count(1)

    def fill(self, rows: int) -> None:
        """Whole rounds of all meters until there are so many rows."""
        last = -(-rows // self._meters)
        if last > self._rounds:
            span = {"day": self._day, "first": self._rounds, "last": last - 1, "meters": self._meters}
            self._owner.execute(_FILL.encode(), span)
            self._rounds = last
            self._owner.execute("VACUUM ANALYZE gridproof.readings")

    def measured(self, *, batches: int) -> Figure:
        rows = self._rounds * self._meters
        ours_s, bare_s, indexed_s = [], [], []
        cpu_s = 0.0
        for readings in self._next_batches(batches):
            began_cpu_s, began = time.process_time(), time.perf_counter()
            self._store.write_readings(_PARTITION, next(self._seqs), readings)
            ours_s.append(time.perf_counter() - began)
            cpu_s += time.process_time() - began_cpu_s
            copied = self._as_copied(readings)
            bare_s.append(self._copy_s(_BARE, copied))
            indexed_s.append(self._copy_s(_INDEXED, copied))
        medians = [percentile(seconds, 50) for seconds in (ours_s, bare_s, indexed_s)]
        ours, bare, indexed = (BATCH / seconds for seconds in medians)
        return figure(
            f"idempotent write at {rows} rows",
            unit="readings/s",
            ours=ours,
            floor=bare,
            details={
                "us per reading": round(1e6 / ours, 2),
                "client cpu us per reading": round(cpu_s / (BATCH * batches) * 1e6, 2),
                "floor": "binary COPY of the same rows into a table without index, a commit each",
                "COPY into a small table with the same indexes, readings/s": round(indexed),
                "ratio to that": round(ours / indexed, 3),
                "readings a batch": BATCH,
                "batches": batches,
            },
        )

    def _next_batches(self, number: int) -> Iterator[list[MeterReading]]:
        """Round by round, from the last that is in the table."""
        meter = self._meters
        for _ in range(number):
            if meter + BATCH > self._meters:
                meter, self._rounds = 0, self._rounds + 1
            ts = self._day + timedelta(seconds=CADENCE_S * (self._rounds - 1))
            yield [self._reading(n, ts) for n in range(meter, meter + BATCH)]
            meter += BATCH
        self._rounds += 1

    def _reading(self, meter: int, ts: datetime) -> MeterReading:
        facility = f"fac-{meter // PER_FACILITY:06}"
        return MeterReading(facility, f"m{meter:07}", ts, 10.0 + meter % 50, 1.0, self._rounds)

    def _as_copied(self, readings: list[MeterReading]) -> bytes:
        query = """COPY (SELECT * FROM gridproof.readings WHERE ts = {} AND meter_id BETWEEN {} AND {})
            TO STDOUT (FORMAT BINARY)"""
        asked = sql.SQL(query).format(readings[0].ts, readings[0].meter_id, readings[-1].meter_id)
        with self._owner.cursor() as cursor, cursor.copy(asked) as copying:
            return b"".join(bytes(part) for part in copying)

    def _copy_s(self, table: str, copied: bytes) -> float:
        began = time.perf_counter()
        with (
            self._owner.cursor() as cursor,
            cursor.copy(f"COPY gridproof.{table} FROM STDIN (FORMAT BINARY)".encode()) as copying,
        ):
            copying.write(copied)
        return time.perf_counter() - began
