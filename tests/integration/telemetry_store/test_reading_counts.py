"""Each reading of a load counts once in a real PostgreSQL, however often it arrived. The audit reports any
deviation."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry import reading_counts
from adapters.postgres.telemetry.reading_counts import PostgresStoredReadings
from adapters.postgres.telemetry.readings import chunk_decoder
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.telemetry.ingest.message_parser import parse_message
from domain.telemetry.meter_reading import MeterReading
from domain.telemetry.reading_arrays import IntArray, ReadingColumns
from interfaces.simulators.meters.load_plan import LoadAudit, LoadPlan, audit, missing
from tests.fakes.clock import FakeClock
from tests.servers import Database

T0 = datetime(2026, 7, 14, 10, 10, tzinfo=UTC)
PLAN = LoadPlan(run="loadx", meters=25, rate_per_s=0.5, started_at=T0)
"""Three facilities; the quarter-hour ends after 300 s."""
MESSAGES = 250


@dataclass
class Audited:
    pool: ConnectionPool[Any]
    clock: FakeClock

    def write(self, readings: list[MeterReading]) -> None:
        PostgresTelemetryStore(self.pool, self.clock).write_readings(0, 0, readings)

    def finalize(self) -> None:
        self.clock.advance(hours=2)
        while PostgresTelemetryRollups(self.pool, self.clock).finalize(0, limit=100).quarters:
            pass

    def by_hand(self, statement: str) -> int:
        with self.pool.connection() as conn:
            return int(conn.execute(statement.encode()).rowcount)

    def audit(self) -> LoadAudit:
        return audit(PLAN, MESSAGES, PostgresStoredReadings(self.pool))

    def doubled(self) -> tuple[int, int, int]:
        """(duplicated, stored twice, counted twice)"""
        found = self.audit()
        assert (found.lost, found.foreign, found.is_exact) == (0, 0, not found.duplicated)
        return found.duplicated, found.stored_twice, found.counted_twice


@pytest.fixture
def audited(database: Database) -> Iterator[Audited]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield Audited(pool, FakeClock(T0))


def sent() -> list[MeterReading]:
    found: list[MeterReading] = []
    for number in range(MESSAGES):
        topic, payload = PLAN.message(number)
        found += parse_message(topic.decode(), payload, now=T0).readings
    return found


def test_a_repeated_reading_counts_once_before_and_after_finalization(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_counts, "FACILITIES_PER_QUERY", 2)
    audited.write(sent())
    audited.write(sent()[::7])
    assert audited.by_hand("SELECT FROM unsettled_quarters") > 0
    assert audited.doubled() == (0, 0, 0)
    audited.finalize()
    assert audited.by_hand("SELECT FROM unsettled_quarters") == 0
    assert audited.doubled() == (0, 0, 0)
    assert audited.audit().stored == MESSAGES


def test_duplicate_rows_of_a_finalized_quarter_hour_are_reported_as_stored_twice(audited: Audited) -> None:
    audited.write(sent())
    audited.finalize()
    doubled = audited.by_hand(
        "INSERT INTO reading_chunks SELECT * FROM reading_chunks WHERE facility_id = 'loadx-000000'"
    )
    assert doubled > 0
    words = audited.by_hand("SELECT FROM reading_chunks, unnest(ts) AS at WHERE facility_id = 'loadx-000000'")
    assert audited.doubled() == (words // 2, words // 2, 0)


@pytest.mark.parametrize("step_s", [60, 900])
def test_a_rollup_with_one_reading_too_many_is_reported_as_counted_twice(
    audited: Audited, step_s: int
) -> None:
    audited.write(sent())
    audited.finalize()
    changed = audited.by_hand(
        "UPDATE rollups SET readings = readings + 1 WHERE ctid IN (SELECT ctid FROM rollups "
        f"WHERE step_s = {step_s} AND readings > 0 LIMIT 1)"
    )
    assert changed == 1
    assert audited.doubled() == (1, 0, 1)


@pytest.mark.filterwarnings(
    "ignore:invalid value:RuntimeWarning"
)  # readings of one moment have no duration between them
def test_a_reader_that_counts_every_version_is_reported_as_counting_twice(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For dirty quarter-hours, readers get values that are computed on request."""

    def every_word(readings: ReadingColumns) -> IntArray:
        return np.lexsort((readings.ts_us, readings.meter))

    audited.write(sent())
    audited.write(sent()[:10])
    monkeypatch.setattr(chunk_decoder, "winning_indices", every_word)
    assert audited.doubled() == (10, 0, 10)


def test_missing_readings_are_counted_without_the_rollups(audited: Audited) -> None:
    audited.write(sent()[5:])
    assert missing(PLAN, MESSAGES, PostgresStoredReadings(audited.pool)) == audited.audit().lost == 5


def test_an_unavailable_store_is_reported() -> None:
    nowhere = ConnectionPool[Any]("host=127.0.0.1 port=1", open=False, timeout=0.1)
    stored = PostgresStoredReadings(nowhere)
    for ask in (stored.seqs, stored.rolled_up):
        with pytest.raises(TelemetryStoreUnavailable):
            list(ask("loadx-", T0, T0))
