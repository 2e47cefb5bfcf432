"""Retention on PostgreSQL: rows on both sides of the bound, partitions in use, and days created again."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.retention import DELETE_ROLLUPS, PostgresTelemetryRetention
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import ImportedIntervals
from application.telemetry.retention_policy import RetentionPolicy
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.windows import TimeWindow
from interfaces.workers.aggregate.retention import ALERT, Retention
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.patience import ANSWER_S
from tests.servers import Database

NOW = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
ALL_TIME = TimeWindow(datetime(2024, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


class RetentionSetup:
    """A store, its retention and their clock."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self.pool, self.clock, self.alerts = pool, FakeClock(NOW), FakeAlertRegistry()
        self.store = PostgresTelemetryStore(pool, self.clock)
        self.archived_at: datetime | None = None
        self.has_archive = False

    def retention(self, *, restored_days: int = 0) -> Retention:
        return Retention(
            store=PostgresTelemetryRetention(self.pool),
            policy=RetentionPolicy(restored_days=restored_days),
            alerts=self.alerts,
            clock=self.clock,
            archived_through=(lambda: self.archived_at) if self.has_archive else None,
        )

    def write(self, *moments: datetime, settled: bool = True) -> None:
        readings = [MeterReading("fac-001", "m1", at, 10.0, 1.0) for at in moments]
        self.store.write_readings(0, 1, readings)
        if settled:
            self.finalize()

    def finalize(self) -> None:
        PostgresTelemetryRollups(self.pool, self.clock).finalize(0, limit=1_000)

    def moments(self) -> list[datetime]:
        with self.pool.connection() as conn:
            return [at.astimezone(UTC) for (at,) in conn.execute("SELECT ts FROM meter_readings ORDER BY ts")]

    def coverage(self) -> list[datetime]:
        """The moments at which the whole series has coverage."""
        block = self.store.interval_series_of(["fac-001"], ALL_TIME)
        return [
            ALL_TIME.starts_at + timedelta(minutes=15 * int(n)) for n in np.nonzero(block.coverage_pct[0])[0]
        ]


@pytest.fixture
def setup(database: Database) -> Iterator[RetentionSetup]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=4) as pool:
        yield RetentionSetup(pool)


def test_readings_older_than_ninety_days_are_dropped_and_newer_ones_stay(setup: RetentionSetup) -> None:
    last_to_go = datetime(2026, 4, 14, 23, 59, 45, tzinfo=UTC)
    first_to_stay = datetime(2026, 4, 15, tzinfo=UTC)
    setup.write(NOW - timedelta(days=200), last_to_go, first_to_stay, NOW)
    outcome = setup.retention().round()
    assert last_to_go.date() in outcome.dropped
    assert setup.moments() == [first_to_stay, NOW]


def test_a_day_that_is_not_finalized_is_not_dropped_until_it_is(setup: RetentionSetup) -> None:
    day = NOW - timedelta(days=100)
    setup.write(day, settled=False)
    assert day.date() in setup.retention().round().busy
    assert setup.moments() == [day]
    setup.finalize()
    assert day.date() in setup.retention().round().dropped
    assert setup.coverage() == [day]


def test_nothing_is_deleted_row_by_row(setup: RetentionSetup) -> None:
    setup.write(NOW - timedelta(days=100), NOW)
    setup.retention().round()
    with setup.pool.connection() as conn:
        gone = conn.execute("SELECT to_regclass('reading_chunks_20260405')").fetchone()
        row = conn.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'reading_chunks'::regclass"
        ).fetchone()
    assert (gone, row) == ((None,), (1,))


def test_intervals_outlive_their_readings_and_are_deleted_after_two_years(setup: RetentionSetup) -> None:
    old, edge, later = (
        NOW - timedelta(days=730, minutes=15),
        NOW - timedelta(days=730),
        NOW - timedelta(days=100),
    )
    setup.write(old, edge, later)
    setup.retention().round()
    assert setup.moments() == []
    assert set(setup.coverage()) == {edge, later}


def test_only_old_rollups_of_every_facility_and_step_are_deleted_in_small_batches(
    setup: RetentionSetup,
) -> None:
    bound = NOW - timedelta(days=730)
    with setup.pool.connection() as conn:
        conn.execute(
            """INSERT INTO rollups (facility_id, starts_at, step_s, coverage_pct, readings, replaced, rows_seen,
                settled_at)
            SELECT 'f' || f, %s + n * s * interval '1 second', s, 0, 0, 0, 0, now()
            FROM generate_series(1, 40) f, unnest(ARRAY[60, 900, 3600]) s, generate_series(-100, 99) n""",
            (bound,),
        )
    store = PostgresTelemetryRetention(setup.pool)
    bites = list(iter(lambda: store.delete_rollups_before(bound, limit=5_000), 0))
    assert bites == [5_000, 5_000, 2_000]
    with setup.pool.connection() as conn:
        left = conn.execute(
            "SELECT step_s, min(starts_at), count(*) FROM rollups GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert [(step_s, at.astimezone(UTC), n) for step_s, at, n in left] == [
        (step_s, bound, 40 * 100) for step_s in (60, 900, 3_600)
    ]


def test_old_rows_are_selected_without_reading_the_others(setup: RetentionSetup) -> None:
    """The query uses the primary key from the oldest row of each facility, for any order of rows in the table."""
    with setup.pool.connection() as conn:
        conn.execute(
            """INSERT INTO rollups (facility_id, starts_at, step_s, coverage_pct, readings, replaced, rows_seen,
                settled_at)
            SELECT 'f' || f, %s + n * interval '1 minute', 60, 0, 0, 0, 0, now()
            FROM generate_series(1, 20) f, generate_series(1, 1000) n ORDER BY random()""",
            (NOW,),
        )
    with setup.pool.connection() as conn:
        conn.execute("SET LOCAL enable_seqscan = off")  # other plans to find a remaining row are disabled
        bounds = {"moment": NOW, "limit": 1_000}
        plan = "\n".join(line for (line,) in conn.execute(f"EXPLAIN {DELETE_ROLLUPS}".encode(), bounds))
    assert "Seq Scan on rollups" not in plan
    assert "rollups_starts_at" not in plan
    assert "starts_at < " in plan


def test_imported_history_stays(setup: RetentionSetup) -> None:
    starts_at = datetime(2024, 1, 1, tzinfo=UTC)
    setup.store.import_intervals(
        ImportedIntervals(
            ("fac-001",),
            np.array([0]),
            np.array([int(starts_at.timestamp())]),
            np.array([900]),
            np.array([4.0]),
            np.array([np.nan]),
        )
    )
    assert setup.retention().round().rollups == 0
    assert setup.coverage() == [starts_at]


def test_a_day_waits_for_the_archive_and_an_alert_is_raised(setup: RetentionSetup) -> None:
    setup.has_archive = True
    setup.write(NOW - timedelta(days=100), NOW)
    assert setup.retention().round().dropped == ()
    assert [alert.name for alert in setup.alerts.listed()] == [ALERT]
    setup.archived_at = NOW
    setup.retention().round()
    assert setup.moments() == [NOW]
    assert setup.alerts.listed() == []


def test_a_day_in_use_by_a_reader_is_retried_later_and_blocks_no_session(
    setup: RetentionSetup, database: Database
) -> None:
    setup.write(NOW - timedelta(days=100))
    day = (NOW - timedelta(days=100)).date()
    with psycopg.connect(database.app_dsn) as reader:
        reader.execute("SELECT count(*) FROM meter_readings")
        assert day in setup.retention().round().busy
        setup.write(NOW)  # no other session blocks it
    assert day in setup.retention().round().dropped
    assert setup.moments() == [NOW]


def test_a_day_restored_from_the_archive_stays_for_a_week(setup: RetentionSetup) -> None:
    back = NOW - timedelta(days=300)
    setup.write(back)
    assert setup.retention(restored_days=7).round().busy == (back.date(),)
    assert setup.moments() == [back]


def test_a_writer_recreates_a_dropped_day_that_it_assumed_to_exist(setup: RetentionSetup) -> None:
    late = NOW - timedelta(days=100)
    setup.write(late)
    setup.retention().round()
    with pytest.raises(ConnectionError):
        setup.write(late + timedelta(seconds=15))
    setup.write(late + timedelta(seconds=15))
    assert setup.moments() == [late + timedelta(seconds=15)]


def test_a_late_reading_does_not_change_an_interval_of_its_dropped_day(setup: RetentionSetup) -> None:
    start = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    setup.write(*(start + timedelta(seconds=s) for s in range(0, 900, 15)))
    quarter = TimeWindow(start, start + timedelta(minutes=15))
    before = setup.store.interval_series_of(["fac-001"], quarter)
    setup.retention().round()
    setup.store.prepare_days(start, start)
    with suppress(ConnectionError):  # the store assumed that the day exists
        setup.write(start + timedelta(seconds=7))
    setup.write(start + timedelta(seconds=7))
    after = setup.store.interval_series_of(["fac-001"], quarter)
    assert (after.mean_kw.tolist(), after.coverage_pct.tolist()) == (
        before.mean_kw.tolist(),
        before.coverage_pct.tolist(),
    )


def test_days_are_created_ahead_also_after_a_clock_jump(setup: RetentionSetup) -> None:
    store = PostgresTelemetryRetention(setup.pool)
    for _ in range(2):
        now = setup.clock.now()
        setup.store.prepare_days(now - timedelta(days=1), now + timedelta(days=2))
        assert {(now + timedelta(days=n)).date() for n in (-1, 0, 1, 2)} <= set(store.raw_days())
        setup.clock.advance(days=30)


def test_the_worker_repeats_until_it_is_stopped(setup: RetentionSetup) -> None:
    setup.write(NOW - timedelta(days=100), NOW)

    async def go_round() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(setup.retention().periodic.run(stop, FakeLocks()))
        async with asyncio.timeout(ANSWER_S):
            while len(await asyncio.to_thread(setup.moments)) > 1:  # noqa: ASYNC110 - the database decides when
                await asyncio.sleep(0.02)
            stop.set()
            await task

    asyncio.run(go_round())
    assert setup.moments() == [NOW]


def test_a_day_that_may_still_be_measured_is_never_dropped(setup: RetentionSetup) -> None:
    with setup.pool.connection() as conn:
        for age, goes in ((0, False), (1, False), (2, True)):
            conn.execute("SELECT prepare_readings_day((now() AT TIME ZONE 'UTC')::date - %s)", (age,))
            row = conn.execute(
                "SELECT drop_readings_day((now() AT TIME ZONE 'UTC')::date - %s, '-1 s')", (age,)
            ).fetchone()
            assert row == (goes,), age
