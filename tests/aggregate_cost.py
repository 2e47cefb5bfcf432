"""CPU microseconds of a reading in `aggregate` and in PostgreSQL, compared with a bare COPY of the same rows.

    python tests/aggregate_cost.py [--shape single|gateway] [--seconds 20]

Real servers and a real worker. Packs are written to JetStream at ingest's pace for 6,700 readings/s, one a message,
or for 67,000 readings/s from gateways of ten. Finalizing is measured on a whole quarter-hour of as many meters as fit
into memory, and added. This is not a test: it asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import nats  # noqa: E402 - after the path is set
import psycopg  # noqa: E402
from psycopg_pool import ConnectionPool  # noqa: E402

from adapters.nats.telemetry_stream import NatsTelemetryStream  # noqa: E402
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups  # noqa: E402
from adapters.postgres.telemetry.store import PostgresTelemetryStore  # noqa: E402
from application.telemetry.ingest.batch_codec import ReadingBatch, pack  # noqa: E402
from domain.telemetry.meter_reading import PARTITIONS, MeterReading, partition_of  # noqa: E402
from tests import servers  # noqa: E402
from tests.servers import Database, PostgresServer  # noqa: E402

SHAPES = {"single": (6_700, 100), "gateway": (67_000, 10)}
"""Readings a second, and meters a facility."""
CADENCE_S = 15
FLUSH_S = 0.1
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class SetClock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def cpu_s(pids: Sequence[int]) -> float:
    total = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) * TICK_S
    return total


def postgres_pids(database: Database) -> list[int]:
    with psycopg.connect(database.admin_dsn) as conn:
        rows = conn.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
    return [pid for (pid,) in rows]


def packs_of_one_second(
    rate: int, meters: int, second: int, at: datetime
) -> Iterator[tuple[int, bytes, int]]:
    """(partition, pack, readings) as ingest flushes them; each meter sends every 15 s."""
    facilities = [f"fac-{n:06}" for n in range(rate * CADENCE_S // meters)]
    speaking = facilities[second % CADENCE_S :: CADENCE_S]
    flushes = round(1 / FLUSH_S)
    for flush in range(flushes):
        batches: list[list[MeterReading]] = [[] for _ in range(PARTITIONS)]
        for facility in speaking[flush::flushes]:
            batches[partition_of(facility)] += [
                MeterReading(facility, f"meter-{m:04}", at, 40.0 + m, 1_000.0 + second / 60, second)
                for m in range(meters)
            ]
        for partition, readings in enumerate(batches):
            for n in range(0, len(readings), 640):
                body = pack(ReadingBatch(received_at=datetime.now(UTC), readings=readings[n : n + 640]))
                yield partition, body, len(readings[n : n + 640])


async def publish(url: str, rate: int, meters: int, seconds: int) -> int:
    client = await nats.connect(url)
    stream = NatsTelemetryStream(client)
    await stream.ensure()
    start, sent = time.monotonic(), 0
    base = datetime.now(UTC).replace(microsecond=0)
    for second in range(seconds):
        packs = list(packs_of_one_second(rate, meters, second, base + timedelta(seconds=second)))
        for number, (partition, body, count) in enumerate(packs):
            due = start + second + number / len(packs)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await stream.publish(partition, body, message_id=f"{second}-{number}")
            sent += count
    for _ in range(600):
        if (await stream.fill()).unprocessed == 0:
            break
        await asyncio.sleep(0.1)
    _say(f"  sent {sent} readings in {time.monotonic() - start:.1f} s")
    await client.close()
    return sent


def bare_copy_us(database: Database, rate: int, meters: int, rows: int = 100_000) -> float:
    """CPU of client and server for a COPY of the same rows into an empty copy of the table."""
    base = datetime.now(UTC)
    columns = "ts timestamptz, meter_id text, facility_id text, kw float8, kwh_total float8, seq bigint"
    with psycopg.connect(database.owner_dsn, autocommit=True) as conn:
        conn.execute(
            f"CREATE TABLE gridproof.bare ({columns}, PRIMARY KEY (ts, meter_id, facility_id))".encode()
        )
        before, own = cpu_s([conn.info.backend_pid]), time.process_time()
        facilities = rate * CADENCE_S // meters
        with conn.cursor().copy(
            "COPY gridproof.bare (ts, meter_id, facility_id, kw, kwh_total, seq) FROM STDIN (FORMAT BINARY)"
        ) as copy:
            copy.set_types(["timestamptz", "text", "text", "float8", "float8", "int8"])
            for n in range(rows):
                facility, second = f"fac-{n // meters % facilities:06}", n // (meters * facilities)
                at = base + timedelta(seconds=second)
                copy.write_row((at, f"meter-{n % meters:04}", facility, 40.0, 1_000.0, second))
        spent = cpu_s([conn.info.backend_pid]) - before + time.process_time() - own
        conn.execute("DROP TABLE gridproof.bare")
    return spent / rows * 1e6


def settle_us(database: Database, meters: int, facilities: int) -> tuple[float, float]:
    """(worker, PostgreSQL): the cost per reading of finalizing a past quarter-hour."""
    start = datetime(2026, 7, 14, 10, tzinfo=UTC)
    clock = SetClock(start + timedelta(minutes=21))
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        store, rollups = PostgresTelemetryStore(pool, clock), PostgresTelemetryRollups(pool, clock)
        for step in range(130):
            at = start + timedelta(seconds=CADENCE_S * step - 300)
            store.write_readings(
                0,
                step + 1,
                [
                    MeterReading(f"set-{f:05}", f"meter-{m:04}", at, 40.0, 1_000.0 + step / 6)
                    for f in range(facilities)
                    for m in range(meters)
                ],
            )
        clock.at = start + timedelta(minutes=6)  # finalize everything before the measured quarter-hour
        while rollups.finalize(0, limit=200).quarters:
            pass
        clock.at = start + timedelta(minutes=21)
        pids = postgres_pids(database)
        before, own = cpu_s(pids), time.process_time()
        while rollups.finalize(0, limit=200).quarters:
            pass
        readings = facilities * meters * 60
        return (time.process_time() - own) / readings * 1e6, (cpu_s(pids) - before) / readings * 1e6


def start_worker(dsn: str, nats_url: str) -> subprocess.Popen[bytes]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.telemetry.aggregate_process", dsn, nats_url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    return worker


def measure(server: PostgresServer, database: Database, nats_url: str, shape: str, seconds: int) -> None:
    rate, meters = SHAPES[shape]
    _say(f"{shape}: {rate} readings/s, {meters} meters a facility")
    floor = bare_copy_us(database, rate, meters)
    _say(f"  floor, bare COPY: {floor:.1f} us (client and server)")
    worker = start_worker(database.app_dsn, nats_url)
    try:
        time.sleep(3)
        pids = postgres_pids(database)
        before, pg_before = cpu_s([worker.pid]), cpu_s(pids)
        sent = asyncio.run(publish(nats_url, rate, meters, seconds))
        aggregate = (cpu_s([worker.pid]) - before) / sent * 1e6
        postgres = (cpu_s(sorted({*pids, *postgres_pids(database)})) - pg_before) / sent * 1e6
    finally:
        worker.kill()
        worker.wait()
    with psycopg.connect(database.app_dsn) as conn:
        row = conn.execute("SELECT count(*) FROM meter_readings").fetchone()
    _say(f"  stored {row[0] if row else 0} of {sent}")
    settling = settle_us(database, meters, 1_000 // meters)
    _say(f"  writing: aggregate {aggregate:.1f} us, PostgreSQL {postgres:.1f} us")
    _say(f"  settling: aggregate {settling[0]:.1f} us, PostgreSQL {settling[1]:.1f} us")
    _say(f"  in all: aggregate {aggregate + settling[0]:.1f} us, PostgreSQL {postgres + settling[1]:.1f} us")
    _say(f"  floor / writing: {floor / (aggregate + postgres):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--shape", choices=[*SHAPES, "both"], default="both")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    for shape in SHAPES if options.shape == "both" else [options.shape]:
        with (
            servers.postgres_server() as server,
            servers.fresh_database(server) as database,
            servers.nats_server() as nats_server,
        ):
            measure(server, database, nats_server.nats_url, shape, options.seconds)


if __name__ == "__main__":
    main()
