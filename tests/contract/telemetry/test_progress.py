"""The contract of TelemetryProgress: PostgreSQL's, for stores without their own transactions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from application.ports.telemetry.progress import Correction, TelemetryProgress
from tests.fakes.clock import FakeClock
from tests.patience import ANSWER_S, END_S
from tests.servers import Database

T0 = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
QUARTERS = [("a", T0), ("b", T0), ("a", T0 + timedelta(minutes=15))]


@pytest.fixture
def progress(database: Database) -> Iterator[TelemetryProgress]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=4) as pool:
        yield PostgresTelemetryProgress(pool, FakeClock(T0))


def correction(mean_kw: float) -> Correction:
    return Correction(
        facility_id="a", starts_at=T0, old_mean_kw=None, new_mean_kw=mean_kw, old_kwh=1.0, new_kwh=mean_kw / 4
    )


def test_the_changes_of_a_block_become_visible_together(progress: TelemetryProgress) -> None:
    with progress.moving(3) as moving:
        moving.mark_dirty(QUARTERS)
        moving.move(7)
        assert progress.position(3) == 0
        assert progress.dirty_quarters(["a"], T0, T0 + timedelta(hours=1)) == []
    assert progress.position(3) == 7
    assert progress.dirty_quarters(["a"], T0, T0 + timedelta(minutes=15)) == [("a", T0)]


def test_a_block_that_raises_records_nothing(progress: TelemetryProgress) -> None:
    def broken_off() -> None:
        with progress.moving(3) as moving:
            moving.mark_dirty(QUARTERS)
            moving.move(7)
            raise ConnectionError("InfluxDB is away")

    with pytest.raises(ConnectionError):
        broken_off()
    assert progress.position(3) == 0
    assert progress.dirty_quarters(["a", "b"], T0, T0 + timedelta(hours=1)) == []


def test_the_position_never_moves_back(progress: TelemetryProgress) -> None:
    for seq in (7, 5):
        with progress.moving(3) as moving:
            moving.move(seq)
    assert (progress.position(3), progress.position(4)) == (7, 0)


def test_due_quarter_hours_are_listed_oldest_first_for_their_partition_only(
    progress: TelemetryProgress,
) -> None:
    with progress.moving(3) as moving:
        moving.mark_dirty(QUARTERS)
        moving.mark_dirty(QUARTERS)
        assert moving.due(T0, limit=10) == [("a", T0), ("b", T0)]
        assert moving.due(T0 + timedelta(hours=1), limit=1) == [("a", T0)]
    with progress.moving(4) as moving:
        assert moving.due(T0 + timedelta(hours=1), limit=10) == []


def test_finalized_quarters_are_clean_and_their_corrections_are_numbered(
    progress: TelemetryProgress,
) -> None:
    with progress.moving(3) as moving:
        moving.mark_dirty(QUARTERS)
        moving.finalized(QUARTERS[:2], [correction(4.0), correction(8.0)], at=T0)
        assert moving.due(T0 + timedelta(hours=1), limit=10) == QUARTERS[2:]
    first, second = progress.corrections_after(0, limit=10)
    assert (first.facility_id, first.starts_at, first.new_mean_kw, first.corrected_at) == ("a", T0, 4.0, T0)
    assert first.correction_id < second.correction_id
    assert progress.corrections_after(first.correction_id, limit=10) == [second]


def test_two_blocks_of_one_partition_are_executed_one_after_the_other(progress: TelemetryProgress) -> None:
    order: list[str] = []
    inside = Event()

    def other() -> None:
        inside.wait(ANSWER_S)
        with progress.moving(3) as moving:
            order.append("second")
            moving.move(2)

    thread = Thread(target=other)
    thread.start()
    with progress.moving(3) as moving:
        inside.set()
        with progress.moving(4):  # another partition is not locked
            order.append("beside")
        order.append("first")
        moving.move(1)
    thread.join(END_S)
    assert order == ["beside", "first", "second"]
    assert progress.position(3) == 2
