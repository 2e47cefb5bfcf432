"""`gridproof telemetry archive`, and the doctor's check of the raw archive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.archive import ObjectArchive
from adapters.clock import SystemClock
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.raw_archive import PostgresRawArchiveProgress
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.raw_archive.progress import ArchiveProgress
from application.raw_archive.writer import PartitionArchiver
from application.telemetry.ingest.batch_codec import ReadingBatch, pack
from application.telemetry.ingest.original_payloads import ReceivedPayload, pack_payloads
from domain.telemetry.meter_reading import ALL_PARTITIONS, MeterReading, partition_of
from tests.acceptance.cli.terminal import Terminal
from tests.fakes.raw_archive.telemetry_log import FakeRawLog
from tests.open_alerts import begin_alert
from tests.servers import Database

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
START = NOW - timedelta(hours=5)
RANGE = ("--from", START.isoformat(), "--to", NOW.isoformat())


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


@pytest.fixture
def pool(database: Database) -> Iterator[ConnectionPool[Any]]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as connections:
        yield connections


def original_of(reading: MeterReading, *, kw: float) -> ReceivedPayload:
    """The message that the meter sent: the decoder of then read another kW."""
    body = json.dumps({"ts": reading.ts.isoformat(), "kw": kw, "kwh_total": 1_000.0, "seq": 7})
    topic = f"meters/{reading.facility_id}/{reading.meter_id}/readings"
    return ReceivedPayload(topic, reading.ts, body.encode())


def archive_two_hours(terminal: Terminal) -> None:
    """Archive two hours of two facilities, 480 readings each; the first with its original messages."""
    log = FakeRawLog()
    for facility in ("fac-001", "fac-002"):
        readings = [
            MeterReading(facility, "m1", START + timedelta(seconds=15 * n), 10.0, None) for n in range(480)
        ]
        for first in range(0, 480, 60):
            at = readings[first].ts
            some = readings[first : first + 60]
            sent = [original_of(one, kw=12.5) for one in some] if facility == "fac-001" else []
            originals = pack_payloads(sent) if sent else None
            body = pack(ReadingBatch(received_at=at, readings=some, originals=originals))
            log.append(partition_of(facility), body, at=at)

    async def scenario() -> None:
        archive = ObjectArchive((terminal.folder / "data" / "archive").as_uri())
        for partition in ALL_PARTITIONS:
            archiver = PartitionArchiver(log, archive, log_id=log.id, partition=partition)
            await archiver.open()
            while await archiver.archive_next() is not None:
                pass

    asyncio.run(scenario())


def tell_progress(pool: ConnectionPool[Any], *, reported_at: datetime) -> None:
    for partition in ALL_PARTITIONS:
        PostgresRawArchiveProgress(pool).report(
            ArchiveProgress(
                partition=partition,
                log_id="log-1",
                stream_seq=8,
                archived_through=START,
                waiting=3,
                objects=2,
                reported_at=reported_at,
            )
        )


def test_a_range_is_restored_and_a_second_restore_changes_nothing(terminal: Terminal) -> None:
    archive_two_hours(terminal)
    dry = terminal.run("telemetry", "archive", "restore", *RANGE, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "dry run: nothing was stored" in dry.stdout
    first = json.loads(terminal.run("telemetry", "archive", "restore", *RANGE, "--json").stdout)
    assert (first["objects"], first["readings"], first["added"], first["dry_run"]) == (4, 960, 960, False)
    again = json.loads(terminal.run("telemetry", "archive", "restore", *RANGE, "--json").stdout)
    assert (again["readings"], again["added"]) == (960, 0)
    one = terminal.run("telemetry", "archive", "restore", *RANGE, "--facility", "fac-001")
    assert "readings              480" in one.stdout
    assert "of" in one.stderr


def test_an_original_message_is_shown_and_written_byte_for_byte(terminal: Terminal) -> None:
    archive_two_hours(terminal)
    of = ("telemetry", "archive", "show", "--meter", "m1", "--at", START.isoformat(), "--facility")
    out = terminal.folder / "original.json"
    shown = terminal.run(*of, "fac-001", "--out", str(out))
    assert shown.exit_code == 0, shown.output
    sent = original_of(MeterReading("fac-001", "m1", START, None, None), kw=12.5).payload
    assert out.read_bytes() == sent
    assert sent.decode() in shown.stdout
    [found] = json.loads(terminal.run(*of, "fac-001", "--json").stdout)["messages"]
    assert (found["payload"], found["decoded"][0]["kw"]) == (sent.decode(), 10.0)
    several = terminal.run(*of, "fac-001", "--within", "60", "--out", str(out))
    assert (several.exit_code, "4 messages were found" in several.stderr) == (2, True)
    missing = terminal.run(*of, "fac-002")
    assert (missing.exit_code, "without the message" in missing.stderr) == (3, True)


def test_decoding_again_stores_corrections_once(terminal: Terminal, pool: ConnectionPool[Any]) -> None:
    archive_two_hours(terminal)
    terminal.run("telemetry", "archive", "restore", *RANGE)
    again = ("telemetry", "archive", "restore", *RANGE, "--facility", "fac-001", "--decode-again", "--json")
    dry = json.loads(terminal.run(*again, "--dry-run").stdout)
    assert (dry["differing"], dry["corrected"], dry["without_originals"]) == (480, 480, 0)
    rollups = PostgresTelemetryRollups(pool, SystemClock())
    before = rollups.corrections_after(0, limit=1_000)
    assert json.loads(terminal.run(*again).stdout)["corrected"] == 480
    corrections = rollups.corrections_after(0, limit=1_000)[len(before) :]
    assert {(one.facility_id, one.old_mean_kw, one.new_mean_kw) for one in corrections} == {
        ("fac-001", 10.0, 12.5)
    }
    acts = json.loads(terminal.run("audit", "administration", "--json").stdout)["acts"]
    assert [one["what"].partition(",")[0] for one in acts] == [
        "archived messages of 1 facility decoded again"
    ]
    second = json.loads(terminal.run(*again).stdout)
    assert (second["corrected"], second["repaired_before"]) == (0, 480)


def test_an_invalid_range_is_refused(terminal: Terminal) -> None:
    backwards = ("--from", NOW.isoformat(), "--to", START.isoformat())
    result = terminal.run("telemetry", "archive", "restore", *backwards)
    assert result.exit_code == 2
    assert "--to is not after --from" in result.stderr


def test_verify_reports_whether_the_archive_is_intact(terminal: Terminal) -> None:
    archive_two_hours(terminal)
    good = terminal.run("telemetry", "archive", "verify")
    assert good.exit_code == 0, good.output
    assert "the raw archive holds; 4 objects" in good.stdout
    damaged = next((terminal.folder / "data" / "archive" / "telemetry" / "raw").rglob("*.gz"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    bad = terminal.run("telemetry", "archive", "verify", "--json")
    assert bad.exit_code == 3
    document = json.loads(bad.stdout)
    assert not document["verified"]
    assert damaged.name in document["findings"][0]["where"]
    refused = terminal.run("telemetry", "archive", "restore", *RANGE)
    assert refused.exit_code == 1
    assert "is not what was archived" in refused.stderr


def test_status_reports_the_progress_of_the_archive(terminal: Terminal, pool: ConnectionPool[Any]) -> None:
    assert "does `gridproof worker archive` run?" in terminal.run("telemetry", "archive", "status").stdout
    tell_progress(pool, reported_at=datetime.now(UTC))
    begin_alert(
        PostgresAlerts(pool),
        "raw_archive_behind",
        "telemetry log",
        "the bucket is away",
        at=datetime.now(UTC),
    )
    shown = terminal.run("telemetry", "archive", "status").stdout
    assert "malformed" in shown
    assert "BEHIND: the bucket is away" in shown
    document = json.loads(terminal.run("telemetry", "archive", "status", "--json").stdout)
    assert (document["archiving"], len(document["partitions"])) == (True, len(ALL_PARTITIONS))
    assert set(document["partitions"][0]) == {
        *("partition", "log_id", "stream_seq", "archived_through", "waiting", "objects", "told_at"),
    }


def test_the_doctor_reports_a_silent_archive_worker_and_one_that_is_behind(
    terminal: Terminal, pool: ConnectionPool[Any]
) -> None:
    def check_result() -> tuple[str, str]:
        document = json.loads(terminal.run("doctor", "--json").stdout)
        checks = document["checks"] if isinstance(document, dict) else document
        (one,) = (check for check in checks if check["check"] == "raw archive")
        return one["state"], one["detail"]

    assert check_result() == ("ok", "nothing is archived yet")
    reading = MeterReading("fac-001", "m1", START, 10.0, None)
    PostgresTelemetryStore(pool, SystemClock()).write_readings(partition_of("fac-001"), 7, [reading])
    assert "no archive worker has ever run" in check_result()[1]
    tell_progress(pool, reported_at=datetime.now(UTC))
    state, detail = check_result()
    assert state == "ok"
    assert "27 messages wait for their hour" in detail
    tell_progress(pool, reported_at=datetime.now(UTC) - timedelta(minutes=10))
    state, detail = check_result()
    assert state == "wrong"
    assert "silent" in detail
    begin_alert(
        PostgresAlerts(pool),
        "raw_archive_behind",
        "telemetry log",
        "the bucket is away",
        at=datetime.now(UTC),
    )
    assert check_result() == ("wrong", "the bucket is away")
