"""The contract of RawArchiveProgress: PostgreSQL's register and the fake's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.raw_archive import PostgresRawArchiveProgress
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.raw_archive.progress import ArchiveProgress, RawArchiveProgress
from domain.telemetry.meter_reading import PARTITIONS
from tests.fakes.raw_archive.progress import FakeRawArchiveProgress
from tests.servers import Database

AT = datetime(2026, 7, 14, tzinfo=UTC)


@pytest.fixture(params=["fake", "postgres"])
def progress(request: pytest.FixtureRequest) -> Iterator[RawArchiveProgress]:
    if request.param == "fake":
        yield FakeRawArchiveProgress()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        yield PostgresRawArchiveProgress(pool)


def progress_of(partition: int, *, seq: int = 7, minutes: int = 0) -> ArchiveProgress:
    return ArchiveProgress(
        partition=partition,
        log_id="log-1",
        stream_seq=seq,
        archived_through=AT + timedelta(minutes=minutes),
        waiting=2,
        objects=3,
        reported_at=AT,
    )


def test_the_last_report_of_each_partition_is_listed(progress: RawArchiveProgress) -> None:
    for one in (progress_of(2), progress_of(1), progress_of(2, seq=9)):
        progress.report(one)
    assert progress.listed() == [progress_of(1), progress_of(2, seq=9)]


def test_the_archive_is_complete_up_to_the_partition_furthest_behind(progress: RawArchiveProgress) -> None:
    assert progress.archived_through() is None
    for partition in range(PARTITIONS):
        progress.report(progress_of(partition, minutes=partition + 1))
    assert progress.archived_through() is None  # the partition of malformed messages has not reported yet
    progress.report(progress_of(PARTITIONS, minutes=9))
    assert progress.archived_through() == AT + timedelta(minutes=1)


def test_a_closed_pool_is_reported_as_unavailable(database: Database) -> None:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        progress = PostgresRawArchiveProgress(pool)
    with pytest.raises(OperationsUnavailable):
        progress.listed()
