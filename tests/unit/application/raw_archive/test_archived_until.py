"""The archived messages that the log may delete, without listing years of a manifest repeatedly."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from application.ports.archive import ArchiveUnavailable
from application.raw_archive.archived_until import ArchivedAges
from application.raw_archive.manifest import ManifestEntry
from application.raw_archive.writer import PartitionArchiver
from tests.fakes.archive import FakeArchive
from tests.fakes.raw_archive.telemetry_log import FakeRawLog

T0 = datetime(2026, 7, 14, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class CountedArchive(FakeArchive):
    def __init__(self) -> None:
        super().__init__()
        self.listings = 0
        self.away = False

    def listed(self, prefix: str) -> list[str]:
        self.listings += 1
        return super().listed(prefix)

    def get(self, name: str) -> bytes:
        if self.away:
            raise ArchiveUnavailable("the bucket is away")
        return super().get(name)


def archive_hours(log: FakeRawLog, archive: FakeArchive, hours: range) -> list[ManifestEntry]:
    """A message an hour."""
    for hour in hours:
        log.append(3, b"body", at=T0 + hour * HOUR)

    async def scenario() -> list[ManifestEntry]:
        archiver = PartitionArchiver(log, archive, log_id=log.id, partition=3)
        await archiver.open()
        made = []
        while (entry := await archiver.archive_next()) is not None:
            made.append(entry)
        return made

    return asyncio.run(scenario())


def test_the_manifest_is_listed_once_and_later_entries_are_added() -> None:
    log, archive = FakeRawLog(), CountedArchive()
    archive_hours(log, archive, range(5))
    archive.listings = 0
    ages = ArchivedAges(archive, log.id, 3)
    assert [ages.last_seq_before(T0 + n * HOUR) for n in (0, 1, 3, 3)] == [0, 1, 3, 3]
    assert archive.listings == 1
    made = archive_hours(log, archive, range(5, 8))
    archive.listings = 0
    for entry in made:
        ages.note(entry)
    assert ages.last_seq_before(T0 + 7 * HOUR) == 7
    assert archive.listings == 0


def test_no_entry_is_lost_after_an_archive_outage() -> None:
    log, archive = FakeRawLog(), CountedArchive()
    archive_hours(log, archive, range(3))
    ages = ArchivedAges(archive, log.id, 3)
    archive.away = True
    with pytest.raises(ArchiveUnavailable):
        ages.last_seq_before(T0 + 2 * HOUR)
    archive.away = False
    assert ages.last_seq_before(T0 + 2 * HOUR) == 2
