"""Readings in chunks on a real PostgreSQL: all readings are returned, each moment counts once, and no mark is
missed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.readings import deduplication
from adapters.postgres.telemetry.readings.chunk_decoder import StoredReadings
from adapters.postgres.telemetry.readings.chunk_query import ChunkRange, readings_in
from adapters.postgres.telemetry.readings.deduplication import novel_readings
from adapters.postgres.telemetry.readings.insert import MarkedIntervals
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import TelemetryStoreUnavailable
from domain.telemetry.meter_reading import TRUST, MeterReading
from domain.telemetry.reading_block import ReadingBlock
from tests.fakes.clock import FakeClock
from tests.reference_rollups import winners
from tests.servers import Database

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
VALUES = st.none() | st.floats(-1e6, 1e6)
READINGS = st.lists(
    st.builds(
        MeterReading,
        st.sampled_from(["fac-a", "fac-b"]),
        st.sampled_from(["m1", "m2"]),
        st.integers(0, 40).map(lambda n: T0 + timedelta(seconds=30 * n, microseconds=n)),
        VALUES,
        VALUES,
        st.none() | st.integers(0, 2**63 - 1),
        st.sampled_from(TRUST),
        st.booleans(),
        st.none() | st.just('{"volts": 231}'),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=30,
)


@pytest.fixture
def pool(database: Database) -> Iterator[ConnectionPool[Any]]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(T0 + timedelta(minutes=5))


def said(after_s: float, kw: float | None, meter: str = "m1", **fields: Any) -> MeterReading:
    return MeterReading("fac", meter, T0 + timedelta(seconds=after_s), kw, 1.0, **fields)


def stored(pool: ConnectionPool[Any]) -> list[MeterReading]:
    """The readings returned by the SQL view for users."""
    with pool.connection() as conn:
        rows = conn.execute(
            "SELECT facility_id, meter_id, ts, kw, kwh_total, seq, quality, incomplete, extra, revision "
            "FROM meter_readings"
        ).fetchall()
    return [
        MeterReading(facility, meter, ts.astimezone(UTC), *values) for facility, meter, ts, *values in rows
    ]


def words(pool: ConnectionPool[Any]) -> int:
    with pool.connection() as conn:
        row = conn.execute("SELECT coalesce(sum(cardinality(ts)), 0) FROM reading_chunks").fetchone()
    return int(row[0]) if row else 0


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(READINGS, READINGS)
def test_every_reader_returns_the_winning_readings_of_repeated_input(
    pool: ConnectionPool[Any], first: list[MeterReading], second: list[MeterReading]
) -> None:
    clock = FakeClock(T0 + timedelta(minutes=5))
    with pool.connection() as conn:
        conn.execute("DELETE FROM reading_chunks")
        conn.execute("DELETE FROM unsettled_quarters")
        conn.execute("DELETE FROM telemetry_positions")
    store, rollups = PostgresTelemetryStore(pool, clock), PostgresTelemetryRollups(pool, clock)
    store.write_readings(0, 1, first)
    store.write_readings(0, 2, [*second, *first])
    expected = sorted(winners([*first, *second]), key=repr)
    assert sorted(stored(pool), key=repr) == expected
    with pool.connection() as conn:
        assert novel_readings(conn, [*second, *first]) == []
    assert words(pool) > len(expected)
    clock.advance(hours=2)
    while rollups.finalize(0, limit=100).quarters:
        pass
    assert sorted(stored(pool), key=repr) == expected
    assert words(pool) == len(expected)


def test_a_reading_with_a_sequence_number_wins_over_one_without(
    pool: ConnectionPool[Any], clock: FakeClock
) -> None:
    store = PostgresTelemetryStore(pool, clock)
    store.write_readings(0, 1, [said(0, 10.0), said(0, 11.0, seq=0)])
    assert [one.kw for one in stored(pool)] == [11.0]
    assert [current.kw for current in store.current(["fac"])] == [11.0]


def test_after_the_clock_went_back_a_new_reading_marks_its_finalized_quarter_hour(
    pool: ConnectionPool[Any],
) -> None:
    began = FakeClock(T0 + timedelta(minutes=5))
    store, ahead = PostgresTelemetryStore(pool, began), FakeClock(T0 + timedelta(hours=2))
    rollups = PostgresTelemetryRollups(pool, ahead)
    store.write_readings(0, 1, [said(0, 10.0)])
    assert rollups.finalize(0, limit=100).quarters
    assert store.write_readings(0, 2, [said(0, 10.0), said(15, 20.0)]) == 1, (
        "the repeat of a finalized reading is not counted"
    )
    assert rollups.finalize(0, limit=100).quarters, "the quarter-hour was marked again"
    assert words(pool) == 2


def test_an_unusual_reading_causes_no_duplicate_read_and_no_rewrite(
    pool: ConnectionPool[Any], clock: FakeClock
) -> None:
    store, rollups = PostgresTelemetryStore(pool, clock), PostgresTelemetryRollups(pool, clock)
    places = "SELECT array_agg((tableoid, ctid, xmin::text) ORDER BY ctid) FROM reading_chunks"
    store.write_readings(0, 1, [said(0, 10.0), said(60, 11.0), said(120, 12.0), said(120, 13.0, "m2")])
    store.write_readings(0, 2, [said(180, 14.0, quality="estimated"), said(240, 15.0, incomplete=True)])
    with pool.connection() as conn:
        found = readings_in(conn, [ChunkRange(0, "fac", T0, T0, T0 + timedelta(minutes=15))])
        before = conn.execute(places).fetchone()
    assert (len(found.columns), len(found.superseded)) == (6, 0)
    clock.advance(hours=1)
    assert rollups.finalize(0, limit=100).quarters
    with pool.connection() as conn:
        assert conn.execute(places).fetchone() == before


def test_a_query_for_some_facilities_reads_only_their_chunks_without_statistics_too(
    pool: ConnectionPool[Any], clock: FakeClock
) -> None:
    names = [f"fac-{n}" for n in range(3_000)]
    PostgresTelemetryStore(pool, clock).write_readings(
        0, 1, [MeterReading(name, f"m{n}", T0, 1.0, 2.0) for name in names for n in range(4)]
    )
    spans = [ChunkRange(n, name, T0, T0, T0 + timedelta(minutes=1)) for n, name in enumerate(names[::50])]
    with pool.connection() as conn:
        found = readings_in(conn, spans)
        row = conn.execute(
            "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables "
            "WHERE starts_with(relname, 'reading_chunks')"
        ).fetchone()
    assert (len(found.columns), row) == (240, (60,))


def test_quarter_hours_of_many_readings_are_finalized_a_few_at_a_time(
    pool: ConnectionPool[Any], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.postgres.telemetry.rollups.finalize.MAX_READINGS", 6)
    store, rollups = PostgresTelemetryStore(pool, clock), PostgresTelemetryRollups(pool, clock)
    store.write_readings(0, 1, [said(900 * quarter + n, 1.0) for quarter in (0, 1) for n in (30, 60)])
    store.write_readings(0, 2, [said(1_800 + n, 1.0) for n in range(30, 38)])
    clock.advance(hours=2)
    rounds = [rollups.finalize(0, limit=50) for _ in range(5)]
    # The adjacent quarter-hours are marked too. With their neighbours the batches read 2 and 4, 12,
    # 10, and 8.
    assert [(one.quarters, one.more) for one in rounds] == [
        (2, True),
        (1, True),
        (1, True),
        (1, False),
        (0, False),
    ]


def test_a_late_repeat_is_not_added_again(pool: ConnectionPool[Any], clock: FakeClock) -> None:
    store = PostgresTelemetryStore(pool, clock)
    readings = [said(s, 10.0) for s in range(0, 120, 15)]
    store.write_readings(0, 1, readings)
    clock.advance(hours=1)
    corrected = said(15, 12.0, revision=1)
    assert store.write_readings(0, 2, [*readings, corrected]) == 1
    assert words(pool) == len(readings) + 1


def test_only_the_late_readings_of_a_mixed_batch_are_checked_one_by_one(
    pool: ConnectionPool[Any], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    one_by_one = ReadingBlock.__iter__

    def counted(self: ReadingBlock) -> Iterator[MeterReading]:
        looked_at.append(len(self))
        return one_by_one(self)

    store = PostgresTelemetryStore(pool, clock)
    store.write_readings(0, 1, [said(0, 10.0)])
    clock.advance(hours=1)
    in_time = [said(3_600 + n, 10.0, quality="estimated" if n == 20 else "measured") for n in range(0, 60, 5)]
    monkeypatch.setattr(ReadingBlock, "__iter__", counted)
    assert store.write_readings(0, 2, [said(0, 10.0), *in_time[:6], said(15, 12.0), *in_time[6:]]) == 13
    assert looked_at == [2]
    assert words(pool) == 14


def test_a_backlog_is_compared_only_with_its_own_minutes(
    pool: ConnectionPool[Any], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ChunkRange] = []
    read = readings_in

    def reading(conn: Any, spans: Sequence[ChunkRange]) -> StoredReadings:
        asked.extend(spans)
        return read(conn, spans)

    monkeypatch.setattr(deduplication, "readings_in", reading)
    PostgresTelemetryStore(pool, clock).write_readings(0, 1, [said(s, 10.0) for s in range(0, 900, 15)])
    clock.advance(hours=1)
    PostgresTelemetryStore(pool, clock).write_readings(0, 2, [said(s + 5, 10.0) for s in (30, 45, 840)])
    assert [(span.low, span.high - span.low) for span in asked] == [
        (T0, timedelta(minutes=1)),
        (T0 + timedelta(minutes=14), timedelta(minutes=1)),
    ]


def test_a_late_write_waits_briefly_and_only_for_the_finalization_of_its_partition(
    pool: ConnectionPool[Any], clock: FakeClock
) -> None:
    store = PostgresTelemetryStore(pool, clock)
    with pool.connection() as conn:
        conn.execute("SELECT pg_advisory_xact_lock(%s, 7)", (0x7E1E,))
        with pytest.raises(TelemetryStoreUnavailable, match="LockNotAvailable"):
            store.write_readings(7, 1, [said(0, 10.0)])
        store.write_readings(6, 1, [said(0, 10.0)])
    store.write_readings(7, 1, [said(0, 10.0)])
    assert (store.position(6), store.position(7)) == (1, 1)


def test_a_quarter_hour_is_marked_again_once_it_may_have_been_finalized(
    pool: ConnectionPool[Any], clock: FakeClock
) -> None:
    store, rollups = PostgresTelemetryStore(pool, clock), PostgresTelemetryRollups(pool, clock)
    store.write_readings(0, 1, [said(0, 10.0)])
    store.write_readings(0, 2, [said(30, 10.0)])
    clock.advance(minutes=30)
    while rollups.finalize(0, limit=100).quarters:
        pass
    store.write_readings(0, 3, [said(45, 10.0)])
    assert rollups.finalize(0, limit=100).quarters > 0
    with pool.connection() as conn:
        row = conn.execute(
            "SELECT rows_seen FROM rollups WHERE step_s = 900 AND starts_at = %s", (T0,)
        ).fetchone()
    assert row == (3,)


def test_cached_marks_are_used_until_a_minute_before_they_may_be_removed() -> None:
    notes, start = MarkedIntervals(), int(T0.timestamp())
    news = {start: {"fac"}}
    assert notes.missing(news, T0) == news
    notes.add(news)
    due_at = T0 + timedelta(seconds=1_220)
    assert notes.missing({start: {"fac", "other"}}, due_at - timedelta(seconds=61)) == {start: {"other"}}
    assert notes.missing(news, due_at - timedelta(seconds=60)) == news
    later = {start + 900: {"fac"}}
    notes.add(later)
    notes.clear()
    assert notes.missing(later, T0) == later


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_retracted_newest_value_is_replaced_by_the_previous_one(
    pool: ConnectionPool[Any], clock: FakeClock, is_settled: bool
) -> None:
    store, rollups = PostgresTelemetryStore(pool, clock), PostgresTelemetryRollups(pool, clock)
    store.write_readings(0, 1, [said(-900, 7.0, "m2"), said(0, 500.0, "m2"), said(0, 10.0)])
    clock.advance(hours=1)
    while rollups.finalize(0, limit=100).quarters:
        pass
    assert [current.kw for current in store.current(["fac"])] == [510.0]
    taken_back = msgspec.structs.replace(said(0, 500.0, "m2"), quality="bad", revision=1)
    store.write_readings(0, 2, [taken_back])
    if is_settled:
        while rollups.finalize(0, limit=100).quarters:
            pass
    assert [current.kw for current in store.current(["fac"])] == [17.0]


def test_a_failing_store_clears_its_cached_marks(pool: ConnectionPool[Any], clock: FakeClock) -> None:
    store = PostgresTelemetryStore(pool, clock)
    store.write_readings(0, 1, [said(0, 10.0)])
    pool.close()
    with pytest.raises(TelemetryStoreUnavailable):
        store.write_readings(0, 2, [said(15, 10.0)])
    assert store._writer._marks[0].missing({int(T0.timestamp()): {"fac"}}, clock.now())
