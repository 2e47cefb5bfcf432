"""The buffer of single readings on a real PostgreSQL: they count at once and are moved into chunks."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.meter_powers import PostgresMeterPowers
from adapters.postgres.telemetry.reading_counts import PostgresStoredReadings
from adapters.postgres.telemetry.readings import chunk_query, insert
from adapters.postgres.telemetry.readings.chunk_query import ChunkRange, readings_in
from adapters.postgres.telemetry.readings.deduplication import novel_readings
from adapters.postgres.telemetry.readings.insert import flush_buffer
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from adapters.postgres.telemetry.transaction import telemetry_transaction
from application.ports.telemetry.store import TelemetryStoreUnavailable
from domain.telemetry.meter_reading import TRUST, MeterReading, partition_of
from domain.time_series.windows import TimeWindow
from tests.fakes.clock import FakeClock
from tests.reference_rollups import winners
from tests.servers import Database

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
HOUR = TimeWindow(T0, T0 + timedelta(hours=1))
PARTITION = 3
_NAMES = (name for name in map("fac-{:04}".format, count()) if partition_of(name) == PARTITION)
FACILITIES = [next(_NAMES) for _ in range(20)]
ONE, OTHER = FACILITIES[:2]
FOREIGN = next(name for name in map("fac-{:04}".format, count()) if partition_of(name) != PARTITION)

READINGS = st.lists(
    st.builds(
        MeterReading,
        st.sampled_from(FACILITIES[:3]),
        st.sampled_from(["m1", "m2"]),
        st.integers(0, 60).map(lambda n: T0 + timedelta(seconds=60 * n, microseconds=n)),
        st.none() | st.floats(-1e6, 1e6),
        st.none() | st.floats(-1e6, 1e6),
        st.none() | st.integers(0, 2**63 - 1),
        st.just("measured") | st.sampled_from(TRUST),
        st.just(False) | st.booleans(),
        st.none() | st.just('{"volts": 231}'),
        st.just(0) | st.integers(0, 2),
    ),
    min_size=1,
    max_size=12,
)


_TABLES = (
    *("reading_chunks", "recent_readings", "unsettled_quarters", "telemetry_positions"),
    *("rollups", "interval_readings", "current_values", "meter_days"),
)
ALONE = st.builds(
    MeterReading,
    st.sampled_from(FACILITIES[:2]),
    st.just("m1"),
    st.integers(0, 60).map(lambda n: T0 + timedelta(minutes=n)),
    st.integers(0, 3).map(float),
    st.none(),
)
STEPS = st.lists(
    st.lists(ALONE, min_size=1, max_size=3)
    | READINGS
    | st.integers(0, 8).map(lambda fives: timedelta(minutes=5 * fives))
    | st.sampled_from(["settle", "restart"]),
    max_size=12,
)


class StoreSetup:
    """A store and its readers."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self.pool = pool
        self.clock = FakeClock(T0 + timedelta(minutes=5))
        self.store = PostgresTelemetryStore(pool, self.clock)
        self.rollups = PostgresTelemetryRollups(pool, self.clock)
        self._seqs = count(1)

    def emptied(self) -> "StoreSetup":
        with self.pool.connection() as conn:
            for table in _TABLES:
                conn.execute(f"DELETE FROM {table}".encode())
        return StoreSetup(self.pool)

    def write(self, readings: Sequence[MeterReading]) -> int:
        return self.store.write_readings(PARTITION, next(self._seqs), readings)

    def file(self) -> None:
        with telemetry_transaction(self.pool, partitions=[PARTITION]) as conn:
            flush_buffer(conn, PARTITION, at=self.clock.now())

    def finalize(self) -> None:
        while self.rollups.finalize(PARTITION, limit=100).quarters:
            pass

    def scalar(self, query: str) -> Any:
        with self.pool.connection() as conn:
            row = conn.execute(query.encode()).fetchone()
        return None if row is None else row[0]

    def waiting(self) -> int:
        return int(self.scalar("SELECT coalesce(sum(cardinality(ts)), 0) FROM recent_readings"))

    def chunks(self) -> list[int]:
        """The number of readings in each chunk."""
        query = "SELECT coalesce(array_agg(cardinality(ts) ORDER BY facility_id, ts[1]), '{}') FROM reading_chunks"
        return list(self.scalar(query))

    def said(self) -> list[MeterReading]:
        """The readings returned by the SQL view for users."""
        with self.pool.connection() as conn:
            rows = conn.execute(
                "SELECT facility_id, meter_id, ts, kw, kwh_total, seq, quality, incomplete, extra, revision "
                "FROM meter_readings"
            ).fetchall()
        return sorted((MeterReading(f, m, ts.astimezone(UTC), *rest) for f, m, ts, *rest in rows), key=repr)

    def everything(self) -> list[Any]:
        """The result of each reader."""
        powers = [PostgresMeterPowers(self.pool).meter_powers(one, HOUR) for one in FACILITIES[:3]]
        series = self.store.interval_series_of(FACILITIES, HOUR)
        audited = PostgresStoredReadings(self.pool)
        since, until = T0 - timedelta(hours=1), T0 + timedelta(hours=1)
        return [
            self.said(),
            self.store.current(FACILITIES),
            [self.store.current([one]) for one in FACILITIES[:3]],
            self.store.newest_readings_at(FACILITIES),
            [getattr(series, name).tolist() for name in ("mean_kw", "coverage_pct")],
            [
                (p.meter_id, p.first_at, p.newest_at, p.offset_s.tolist(), p.kw.tolist())
                for some in powers
                for p in some
            ],
            sorted(audited.rolled_up("fac-", since, until), key=repr),
            sorted(audited.seqs("fac-", since, until), key=repr),
        ]


@pytest.fixture
def setup(database: Database) -> Iterator[StoreSetup]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=3) as pool:
        yield StoreSetup(pool)


def said(
    after_s: float, kw: float = 10.0, facility: str = ONE, meter: str = "m1", **fields: Any
) -> MeterReading:
    return MeterReading(facility, meter, T0 + timedelta(seconds=after_s), kw, 1.0, **fields)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(READINGS, min_size=1, max_size=4))
def test_every_reader_returns_buffered_readings_like_those_in_chunks(
    setup: StoreSetup, batches: list[list[MeterReading]]
) -> None:
    fresh = setup.emptied()
    for readings in batches:
        fresh.write(readings)
    expected = sorted(winners([one for readings in batches for one in readings]), key=repr)
    before = fresh.everything()
    assert before[0] == expected
    fresh.file()
    assert fresh.waiting() == 0
    np.testing.assert_equal(fresh.everything(), before)  # treat NaN as equal to NaN
    fresh.write(batches[0])
    fresh.clock.advance(hours=2)
    fresh.finalize()
    assert fresh.said() == expected
    assert fresh.waiting() == 0
    assert sum(fresh.chunks()) == len(expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_each_winning_reading_is_stored_once_in_any_order_of_writes_and_restarts(
    setup: StoreSetup, steps: list[list[MeterReading] | timedelta | str]
) -> None:
    fresh, everything = setup.emptied(), list[MeterReading]()
    for step in steps:
        if isinstance(step, list):
            fresh.write(step)
            everything += step
        elif isinstance(step, timedelta):
            fresh.clock.advance(seconds=step.total_seconds())
        elif step == "settle":
            fresh.finalize()
        else:
            fresh.store = PostgresTelemetryStore(fresh.pool, fresh.clock)
        assert fresh.waiting() <= (fresh.scalar("SELECT sum(recent) FROM telemetry_positions") or 0)
        assert fresh.said() == sorted(winners(everything), key=repr)
    fresh.clock.advance(hours=2)
    fresh.finalize()
    assert fresh.said() == sorted(winners(everything), key=repr)
    assert (fresh.waiting(), sum(fresh.chunks())) == (0, len(fresh.said()))


def test_few_readings_of_a_facility_are_buffered_but_not_many_unusual_or_foreign_ones(
    setup: StoreSetup,
) -> None:
    setup.write([said(0), said(15), said(30), said(0, facility=OTHER)])
    assert (setup.waiting(), setup.chunks()) == (4, [])
    setup.write([said(s, meter="m2") for s in (0, 15, 30, 45)])
    assert (setup.waiting(), setup.chunks()) == (4, [4])
    setup.write([said(0, meter="m3", quality="estimated"), said(0, facility=FOREIGN)])
    assert (setup.waiting(), sorted(setup.chunks())) == (4, [1, 1, 4])


def test_readings_buffered_for_15_seconds_become_one_chunk_per_minute(setup: StoreSetup) -> None:
    for second in range(0, 15, 3):
        setup.write([said(55 + second), said(55 + second, facility=OTHER)])
        setup.clock.advance(seconds=3)
    assert (setup.waiting(), setup.chunks()) == (10, [])
    restarted = StoreSetup(setup.pool)
    restarted.clock = setup.clock
    restarted.store = PostgresTelemetryStore(setup.pool, setup.clock)
    restarted.write([said(100)])
    assert (setup.waiting(), setup.chunks()) == (1, [2, 3, 2, 3])
    setup.clock.advance(seconds=14)
    setup.write([said(115)])
    assert setup.waiting() == 2


def test_the_number_of_buffered_readings_is_limited(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insert, "MAX_BUFFERED", 5)
    for second in range(7):
        setup.write([said(second)])
    assert (setup.waiting(), setup.chunks()) == (3, [4])


def test_buffered_readings_are_finalized_with_the_rest_and_stored_once(setup: StoreSetup) -> None:
    setup.write([said(0, 10.0)])
    setup.file()
    setup.write([said(0, 12.0)])
    setup.clock.advance(hours=1)
    setup.finalize()
    assert (setup.waiting(), setup.chunks()) == (0, [1])
    assert [one.kw for one in setup.said()] == [10.0], (
        "the lower value wins between two readings of equal rank"
    )
    assert setup.write([said(0, 12.0)]) == 0


def test_a_late_repeat_of_a_buffered_reading_is_recognized(setup: StoreSetup) -> None:
    setup.write([said(0)])
    setup.clock.advance(minutes=10)
    assert setup.write([said(0)]) == 0
    assert setup.waiting() == 0, "the buffered reading was due and moved into a chunk"
    assert setup.chunks() == [1]


def test_readings_moved_to_chunks_during_a_read_count_once(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.write([said(0), said(15)])
    asked = chunk_query._query

    def filed_meanwhile(*args: Any) -> list[Any]:
        setup.file()
        return asked(*args)

    monkeypatch.setattr(chunk_query, "_query", filed_meanwhile)
    with setup.pool.connection() as conn:
        found = readings_in(conn, [ChunkRange(7, ONE, T0, T0, T0 + timedelta(minutes=15))])
    assert (found.meters, len(found.columns)) == ([(7, "m1")], 2)


def test_each_span_of_each_facility_gets_its_own_readings(setup: StoreSetup) -> None:
    setup.write(
        [said(900 * quarter + n, 10.0 + n, one) for n, one in enumerate(FACILITIES) for quarter in (0, 1)]
    )
    quarter = timedelta(minutes=15)
    spans = [
        ChunkRange(
            2 * n + second, one, T0 + quarter * second, T0 + quarter * second, T0 + quarter * (1 + second)
        )
        for n, one in enumerate(FACILITIES)
        for second in (1, 0)
    ]
    narrow = ChunkRange(99, ONE, T0, T0 + timedelta(seconds=1), T0 + quarter)
    with setup.pool.connection() as conn:
        found = readings_in(conn, [*spans, narrow])
    assert found.meters == [(n, "m1") for n in range(2 * len(FACILITIES))]
    assert found.columns.kw.tolist() == [10.0 + n // 2 for n in range(2 * len(FACILITIES))]


def test_a_failed_write_leaves_buffered_readings_in_place(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.write([said(0)])
    setup.clock.advance(seconds=20)
    with monkeypatch.context() as broken:
        broken.setattr("adapters.postgres.telemetry.readings.insert.add_recent", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            setup.write([said(20)])
    assert (setup.waiting(), setup.chunks()) == (1, [])
    setup.write([said(20)])
    assert (setup.waiting(), setup.chunks()) == (1, [1])


def test_readings_of_unfinalized_quarter_hours_are_not_late_after_an_outage(
    setup: StoreSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def counted(conn: Any, readings: Sequence[MeterReading]) -> list[MeterReading]:
        compared.append(len(readings))
        return novel_readings(conn, readings)

    monkeypatch.setattr("adapters.postgres.telemetry.readings.insert.novel_readings", counted)
    setup.write([said(0)])
    setup.clock.advance(minutes=20)
    setup.finalize()
    setup.clock.advance(minutes=40)
    assert setup.write([said(1_800), said(1_815)]) == 2
    assert (compared, setup.waiting()) == ([], 0), "until then lateness was determined by the clock only"
    assert setup.write([said(1_845)]) == 1
    assert (compared, setup.waiting()) == ([], 1)
    setup.finalize()
    assert setup.waiting() == 0
    setup.write([said(1_800), said(1_830)])
    assert compared == [2]
    assert len(setup.said()) == 5


def test_buffered_readings_count_if_only_the_clock_marked_them_as_late(setup: StoreSetup) -> None:
    setup.write([said(0)])
    setup.clock.advance(minutes=20)
    setup.finalize()
    setup.clock.advance(minutes=40)
    restarted = PostgresTelemetryStore(setup.pool, setup.clock)
    for number, second in enumerate((1_800, 1_815, 1_830)):
        restarted.write_readings(PARTITION, 100 + number, [said(second)])
        counted = setup.scalar("SELECT recent FROM telemetry_positions")
        assert counted == setup.waiting() == number
    setup.finalize()
    assert (setup.waiting(), len(setup.said())) == (0, 4)


def test_buffered_readings_of_finalized_and_never_finalized_facilities_are_read_together(
    setup: StoreSetup,
) -> None:
    setup.write([said(s) for s in (0, 15, 30, 45)])
    setup.clock.advance(hours=1)
    setup.finalize()
    setup.write([said(3_600 + s) for s in (0, 15, 30, 45)])
    setup.write([said(3_600, 7.0, facility=OTHER)])
    assert [(one.facility_id, one.kw) for one in setup.store.current([ONE, OTHER])] == [
        (ONE, 10.0),
        (OTHER, 7.0),
    ]


def test_a_dropped_day_table_is_recreated_for_buffered_readings(
    setup: StoreSetup, database: Database
) -> None:
    setup.write([said(0)])
    with psycopg.connect(database.owner_dsn) as owner:
        owner.execute("DROP TABLE gridproof.reading_chunks_20260714")
    setup.clock.advance(hours=14)
    tomorrow = said(14 * 3_600)
    with pytest.raises(TelemetryStoreUnavailable, match="made again"):
        setup.write([tomorrow])
    assert setup.write([tomorrow]) == 1
    assert [one.ts for one in setup.said()] == [T0, tomorrow.ts]
