"""From the telemetry log into the raw archive and back on real servers: nothing is missing or duplicated."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.archive import ObjectArchive
from adapters.clock import SystemClock
from adapters.nats.raw_log import NatsRawLog
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from adapters.postgres.telemetry.rollups import finalize
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.archive import Archive
from application.ports.operations.dead_letters import DeadLetter
from application.ports.raw_archive.telemetry_log import RawMessage
from application.raw_archive import object as raw_archive_object
from application.raw_archive.archived_packs import RestoreSelection
from application.raw_archive.manifest import chains, entries
from application.raw_archive.object import messages_of
from application.raw_archive.restore import RestoreReport, restore
from application.raw_archive.verification import verify_archive
from application.raw_archive.writer import PartitionArchiver
from application.telemetry.ingest.batch_codec import MalformedMessages, ReadingBatch, pack
from application.telemetry.ingest.message_parser import MalformedReading
from domain.telemetry.meter_reading import MALFORMED, PARTITIONS, MeterReading, partition_of
from tests.integration.telemetry.conftest import AFTER_A_KILL_S, TelemetryPath, eventually
from tests.patience import END_S
from tests.s3_server import S3Server, running_s3
from tests.servers import fresh_database

ROOT = Path(__file__).parents[3]
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
EVERYTHING = RestoreSelection(starts_at=START - timedelta(days=2), ends_at=START + timedelta(days=2))
ALL = (*range(PARTITIONS), MALFORMED)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        server.make_bucket("raw")
        yield server


def readings_of(facility: str, draw: random.Random) -> list[MeterReading]:
    """Two hours of readings of two meters, with gaps, a register, and some readings with only one of the two values."""
    found = []
    for meter in ("m1", "m2"):
        total = 1_000.0
        for n in range(240):
            kw = draw.uniform(5, 50)
            total += kw * 30 / 3_600
            if draw.random() < 0.05:
                continue
            both = draw.random() < 0.9
            found.append(
                MeterReading(
                    facility, meter, START + timedelta(seconds=30 * n), kw, total if both else None, n
                )
            )
    return found


async def publish_a_morning(stream: NatsTelemetryStream) -> int:
    """Publish messages, some of them late, repeated, corrected or malformed; returns the number of messages."""
    draw, messages = random.Random(5), 0
    for number in range(4):
        facility = f"fac-{number:03}"
        readings = readings_of(facility, draw)
        packs = [readings[n : n + 40] for n in range(0, len(readings), 40)]
        draw.shuffle(packs)
        corrected = [
            msgspec.structs.replace(one, kw=one.kw and one.kw / 2, revision=1, quality="estimated")
            for one in readings[::50]
        ]
        for some in [*packs[:10], corrected, *packs[10:], *packs[:3]]:
            body = pack(ReadingBatch(received_at=datetime.now(UTC), readings=some))
            await stream.publish(partition_of(facility), body, message_id=f"{messages}")
            messages += 1
    malformed = MalformedMessages(received_at=START, malformed=[MalformedReading("t", "no JSON", b"\0\xff")])
    await stream.publish(MALFORMED, pack(malformed), message_id="malformed")
    await stream.publish(partition_of("fac-001"), b"\xc1 no pack", message_id="garbage")
    poison = ReadingBatch(received_at=START, readings=[MeterReading("fac-001", "m\0", START, 1.0, None)])
    await stream.publish(partition_of("fac-001"), pack(poison), message_id="poison")
    return messages + 3


async def stored(stream: NatsTelemetryStream) -> None:
    for _ in range(600):
        if (await stream.fill()).unprocessed == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the log still contains work")


async def archive_all(stream: NatsTelemetryStream, archive: Archive) -> None:
    log = NatsRawLog(stream._client)
    log_id = await log.log_id()
    for partition in ALL:
        archiver = PartitionArchiver(log, archive, log_id=log_id, partition=partition)
        await archiver.open()
        while await archiver.archive_next() is not None:
            pass


LEFT_OUT = {"updated_at", "settled_at"}
TABLES = [
    "meter_readings",
    "rollups",
    "interval_readings",
    "meter_days",
    "current_values",
    "unsettled_quarters",
]


def telemetry_rows(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every table of readings and computed values, without the columns of write times."""
    tables = """SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
        FROM information_schema.columns
        WHERE table_schema = 'gridproof' AND NOT column_name = ANY(%s)
            AND table_name = ANY(%s)
        GROUP BY table_name"""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(tables, (list(LEFT_OUT), TABLES)).fetchall()
        return {
            name: sorted(
                connection.execute(f"SELECT {columns} FROM gridproof.{name}".encode()).fetchall(), key=repr
            )
            for name, columns in found
        }


def restored_into(dsn: str, archive: Archive, wanted: RestoreSelection = EVERYTHING) -> RestoreReport:
    with ConnectionPool[Any](dsn, min_size=1, max_size=2) as pool:
        clock = SystemClock()
        rollups = PostgresTelemetryRollups(pool, clock)
        store, dead_letters = PostgresTelemetryStore(pool, clock), PostgresDeadLetters(pool)
        return restore(archive, store, wanted, rollups=rollups, dead_letters=dead_letters)


def letters(dsn: str) -> list[DeadLetter]:
    """The dead letters of meter messages in every state."""
    with ConnectionPool[Any](dsn, min_size=1, max_size=1) as pool:
        return PostgresDeadLetters(pool).listed(queue="meter_message", status=None)


def decide(dsn: str, letter: DeadLetter) -> None:
    with ConnectionPool[Any](dsn, min_size=1, max_size=1) as pool:
        PostgresDeadLetters(pool).decide(
            letter.dead_letter_id, status="discarded", by="operator", reason="seen", at=START
        )


def settle_all(path: TelemetryPath) -> None:
    rollups = PostgresTelemetryRollups(path.pool, path.clock)
    for partition in range(PARTITIONS):
        while rollups.finalize(partition, limit=200).quarters:
            pass


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_a_database_rebuilt_from_the_archive_equals_the_live_one(
    path: TelemetryPath, s3: S3Server, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This includes quarter-hours with so many readings that only a few are finalized at once."""
    archive = s3.archive("raw", "system-1") if place == "s3" else ObjectArchive(tmp_path.as_uri())

    async def scenario() -> int:
        async with path.stream() as stream:
            async with path.aggregating(stream):
                messages = await publish_a_morning(stream)
                await stored(stream)
            await archive_all(stream, archive)
            return messages

    messages = asyncio.run(scenario())
    report = verify_archive(archive)
    assert report.verified
    assert sum(one.messages for one in report.partitions) == messages
    assert sum(one.malformed for one in report.partitions) == 1
    settle_all(path)
    live = telemetry_rows(path.database.app_dsn)
    assert len(live["meter_readings"]) > 1_500
    assert len(live["rollups"]) == 4 * (120 + 8 + 2)
    assert live["unsettled_quarters"] == []
    monkeypatch.setattr(finalize, "MAX_READINGS", 500)
    with fresh_database(path.postgres) as fresh:
        first = restored_into(fresh.app_dsn, archive)
        assert first.readings > first.added > len(live["meter_readings"])  # repeated and corrected ones
        assert (first.refused_messages, first.undecodable_messages) == (1, 1)
        assert telemetry_rows(fresh.app_dsn) == live
        [letter] = letters(fresh.app_dsn)
        assert [letter] == path.dead_letters.listed(queue="meter_message"), (
            "the letter is parked again as in the live system"
        )
        assert first.malformed == 1
        decide(fresh.app_dsn, letter)
        again = restored_into(fresh.app_dsn, archive)
        assert (again.added, again.readings) == (0, first.readings)
        assert [found.status for found in letters(fresh.app_dsn)] == ["discarded"], (
            "a decided letter stays decided"
        )
        assert telemetry_rows(fresh.app_dsn) == live
    assert restored_into(path.database.app_dsn, archive).added == 0
    assert telemetry_rows(path.database.app_dsn) == live


def test_only_the_requested_range_and_facilities_are_restored(path: TelemetryPath, tmp_path: Path) -> None:
    archive = ObjectArchive(tmp_path.as_uri())

    async def scenario() -> None:
        async with path.stream() as stream:
            await publish_a_morning(stream)
            await archive_all(stream, archive)

    asyncio.run(scenario())
    hour = RestoreSelection(
        starts_at=START + timedelta(minutes=30),
        ends_at=START + timedelta(minutes=90),
        facility_ids=frozenset({"fac-002"}),
    )
    with ConnectionPool[Any](path.database.app_dsn, min_size=1, max_size=2) as pool:
        store, told = PostgresTelemetryStore(pool, SystemClock()), []
        dry = restore(
            archive, store, hour, dry_run=True, on_progress=lambda done, of: told.append((done, of))
        )
        assert telemetry_rows(path.database.app_dsn)["meter_readings"] == []
        report = restore(archive, store, hour)
    assert (dry.added, dry.readings, dry.malformed) == (0, report.readings, 0)
    assert told[-1] == (told[0][1], told[0][1])
    rows = telemetry_rows(path.database.app_dsn)["meter_readings"]
    assert 200 < len(rows) == report.added < report.readings
    with psycopg.connect(path.database.app_dsn) as connection:
        found = connection.execute(
            "SELECT DISTINCT facility_id, min(ts), max(ts) FROM meter_readings GROUP BY 1"
        )
        (facility, oldest, newest) = found.fetchone() or ("", None, None)
    assert facility == "fac-002"
    assert hour.starts_at <= oldest < newest < hour.ends_at


def start_worker(path: TelemetryPath, folder: Path, place: str) -> "subprocess.Popen[bytes]":
    addresses = [path.database.app_dsn, path.servers.nats_url, str(folder), place]
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.telemetry.archive_process", *addresses],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    return worker


def archived_seqs(archive: Archive) -> list[int]:
    found = []
    for names in chains(archive).values():
        for entry, _ in entries(archive, names):
            found += [message.stream_seq for message in messages_of(archive.get(entry.object))[1]]
    return sorted(found)


def test_kills_after_object_and_after_entry_leave_nothing_missing_and_nothing_twice(
    path: TelemetryPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is killed with SIGKILL at both failpoints, several times, while messages arrive."""
    archive = ObjectArchive(tmp_path.as_uri())
    total = 0

    async def publish_some(count: int) -> None:
        nonlocal total
        async with path.stream(again_after_s=AFTER_A_KILL_S) as stream:
            for _ in range(count):
                reading = MeterReading("fac-001", "m1", START + timedelta(seconds=total), 1.0, None)
                body = pack(ReadingBatch(received_at=datetime.now(UTC), readings=[reading]))
                await stream.publish(total % PARTITIONS, body, message_id=str(total))
                total += 1

    for place in (
        "archive.after_object",
        "archive.after_entry",
        "archive.after_object",
        "archive.after_object",
    ):
        asyncio.run(publish_some(40))
        worker = start_worker(path, tmp_path, place)
        assert worker.wait(END_S) == -9
    asyncio.run(publish_some(5))
    worker = start_worker(path, tmp_path, "")
    try:
        asyncio.run(eventually(lambda: len(archived_seqs(archive)) >= total))
    finally:
        worker.kill()
        worker.wait()
    assert archived_seqs(archive) == list(range(1, total + 1))
    report = verify_archive(archive)
    assert (report.findings, report.not_entered) == ((), ())


def test_two_workers_archive_together_and_one_takes_over_from_the_other(
    path: TelemetryPath, tmp_path: Path
) -> None:
    archive = ObjectArchive(tmp_path.as_uri())

    async def publish_some(stream: NatsTelemetryStream, first: int) -> None:
        for n in range(first, first + 50):
            await stream.publish(n % PARTITIONS, f"{n}".encode(), message_id=str(n))

    async def scenario() -> None:
        workers = [await asyncio.to_thread(start_worker, path, tmp_path, "") for _ in range(2)]
        try:
            async with path.stream(again_after_s=AFTER_A_KILL_S) as stream:
                await publish_some(stream, 0)
                await eventually(lambda: len(archived_seqs(archive)) == 50)
                workers[0].kill()
                await publish_some(stream, 50)
                await eventually(lambda: len(archived_seqs(archive)) == 100)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()

    asyncio.run(scenario())
    assert archived_seqs(archive) == list(range(1, 101))
    assert verify_archive(archive).verified


def test_an_archived_log_trims_only_archived_messages(path: TelemetryPath, tmp_path: Path) -> None:
    archive = ObjectArchive(tmp_path.as_uri())

    async def scenario() -> None:
        async with path.stream() as unarchived:
            client = unarchived._client
            stream = NatsTelemetryStream(client, archived=True)
            await stream.ensure()
            config = (await client.jetstream().stream_info("TELEMETRY")).config
            assert not config.max_age
            for n in range(10):
                reading = MeterReading("fac-001", "m1", START + timedelta(seconds=n), 1.0, None)
                body = pack(ReadingBatch(received_at=datetime.now(UTC), readings=[reading]))
                await stream.publish(5, body, message_id=str(n))
            async with path.aggregating(stream):
                await stored(stream)
            await stream.trim()
            assert (await stream.fill()).messages == 10
            await stream.trim({5: 4})
            assert (await stream.fill()).messages == 6
            await archive_all(stream, archive)
            await stream.trim({5: 10})
            assert (await stream.fill()).messages == 0

    asyncio.run(scenario())


def test_an_object_is_compressed_and_its_size_is_bounded() -> None:
    """An object in memory is compressed. A reader unpacks it value by value."""
    writer = raw_archive_object.ObjectWriter(
        raw_archive_object.ObjectHeader(format=1, log_id="l", partition=0, first_seq=1)
    )
    assert writer.empty
    readings = [MeterReading("fac-001", f"m{n}", START, 100.0 + n, 5_000.0 + n, n) for n in range(400)]
    body = pack(ReadingBatch(received_at=START, readings=readings))
    seq = 0
    while not writer.full:
        seq += 1
        writer.add(RawMessage(seq, START, None, None, body))
    content, contents = writer.finished()
    assert contents.raw_bytes < raw_archive_object.MAX_RAW_BYTES + len(body)
    assert len(content) < contents.raw_bytes / 5
    assert sum(1 for _ in messages_of(content)[1]) == seq
