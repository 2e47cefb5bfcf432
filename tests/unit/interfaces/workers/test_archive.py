"""When the archive worker archives, when it trims the log, and what it reports."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from application.ports.archive import ArchiveUnavailable
from application.ports.telemetry.stream import StreamFill
from application.raw_archive.manifest import chains, entries
from domain.telemetry.meter_reading import MALFORMED, PARTITIONS
from interfaces.workers import archive as worker_module
from interfaces.workers.archive import ArchiveWorker
from tests.fakes.archive import FakeArchive
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.raw_archive.progress import FakeRawArchiveProgress
from tests.fakes.raw_archive.telemetry_log import FakeRawLog
from tests.fakes.telemetry.stream import FakeTelemetryStream

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)


class AbsentArchive(FakeArchive):
    """Raises ArchiveUnavailable while `available` is False."""

    available = True

    def put_once(self, name: str, content: bytes) -> None:
        self._check()
        super().put_once(name, content)

    def listed(self, prefix: str) -> list[str]:
        self._check()
        return super().listed(prefix)

    def _check(self) -> None:
        if not self.available:
            raise ArchiveUnavailable("the bucket is away")


class FilledStream(FakeTelemetryStream):
    """A stream whose fill level the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.filled = 0.1
        self.trims: list[dict[int, int]] = []

    async def fill(self) -> StreamFill:
        stored = int(self.filled * 1_000_000_000)
        return StreamFill(messages=10, stored_bytes=stored, max_bytes=1_000_000_000, unprocessed=0)

    async def trim(self, archived: Mapping[int, int] | None = None) -> None:
        self.trims.append({p: seq for p, seq in (archived or {}).items() if seq})


class Bench:
    """A worker; a later one continues with the log and the archive of `before`."""

    def __init__(self, before: "Bench | None" = None, *, log_days: int = 7, **later: float) -> None:
        self.clock = FakeClock(T0 + timedelta(minutes=5) + timedelta(**later))
        self.log: FakeRawLog = before.log if before else FakeRawLog()
        self.archive: AbsentArchive = before.archive if before else AbsentArchive()
        self.stream = FilledStream()
        self.alerts, self.progress = FakeAlertRegistry(), FakeRawArchiveProgress()
        self.worker = ArchiveWorker(
            raw_log=self.log,
            stream=self.stream,
            archive=self.archive,
            progress=self.progress,
            alerts=self.alerts,
            clock=self.clock,
            locks=FakeLocks(),
            reached=lambda _name, _in_flight: None,
            log_days=log_days,
        )

    def log_one(self, partition: int = 3) -> None:
        self.log.append(partition, b"body", at=self.clock.now())

    def round(self, *, minutes: float = 0) -> None:
        self.clock.advance(minutes=minutes)
        asyncio.run(self.worker.round())

    def archived(self) -> list[int]:
        """The last sequence number of each archived entry."""
        found = [e for names in chains(self.archive).values() for e, _ in entries(self.archive, names)]
        return sorted(entry.contents.last_seq for entry in found)

    def alert(self) -> str | None:
        return next((a.detail for a in self.alerts.listed() if a.name == "raw_archive_behind"), None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_hour_is_archived_once_it_is_over(bench: Bench) -> None:
    bench.log_one()
    bench.round(minutes=54)
    assert bench.archived() == []
    bench.log_one()
    bench.round(minutes=2)
    assert bench.archived() == [2]


def test_messages_that_fill_an_object_are_archived_before_the_hour_is_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MAX_MESSAGES", 3)
    for _ in range(3):
        bench.log_one()
    bench.round()
    assert bench.archived() == [3]


def test_a_log_that_fills_up_is_archived_at_once_and_trimmed(bench: Bench) -> None:
    bench.log_one()
    bench.log_one(MALFORMED)
    bench.stream.filled = 0.75
    bench.round()
    assert bench.archived() == [1, 2]
    assert bench.stream.trims == [{3: 1, MALFORMED: 2}]


def test_the_log_is_trimmed_a_week_after_archiving(bench: Bench) -> None:
    bench.log_one()
    bench.round(minutes=60)
    bench.log_one()
    assert bench.stream.trims == [{}]
    trims: dict[float, dict[int, int]] = {1: {}, 2: {3: 1}, 3: {3: 2}}
    for hours, trim in trims.items():
        late = Bench(bench, days=7, hours=hours)
        late.round()
        assert late.stream.trims == [trim]


def test_the_log_is_trimmed_after_the_days_of_the_setting(bench: Bench) -> None:
    bench.log_one()
    bench.round(minutes=60)
    trims: dict[int, dict[int, int]] = {1: {}, 3: {3: 1}}
    for hours, trim in trims.items():
        late = Bench(bench, log_days=30, days=30, hours=hours)
        late.round()
        assert late.stream.trims == [trim]


def test_progress_is_reported_by_partition(bench: Bench) -> None:
    bench.log_one()
    logged_at = bench.clock.now()
    bench.round(minutes=10)
    told = bench.progress.told
    assert len(told) == PARTITIONS + 1
    assert (told[3].archived_through, told[3].waiting, told[3].objects) == (logged_at, 1, 0)
    assert bench.progress.archived_through() == logged_at
    bench.round(minutes=60)
    assert (told[3].stream_seq, told[3].waiting, told[3].objects) == (1, 0, 1)
    assert bench.clock.now() - timedelta(minutes=1) < told[3].archived_through <= bench.clock.now()


def test_an_unreachable_archive_is_alerted_after_a_while_and_filled_afterwards(bench: Bench) -> None:
    bench.round()
    bench.log_one()
    bench.archive.available = False
    bench.round(minutes=61)
    bench.archive.available = True
    bench.round()
    assert bench.alert() is None
    assert bench.archived() == [1]
    bench.log_one()
    bench.archive.available = False
    bench.round(minutes=60)
    bench.round(minutes=20)
    assert "the bucket is away" in (bench.alert() or "")
    bench.archive.available = True
    bench.round()
    assert bench.alert() is None
    assert bench.archived() == [1, 2]


def test_an_inconsistent_archive_is_alerted_at_once_and_nothing_is_written(bench: Bench) -> None:
    bench.log_one()
    bench.round(minutes=60)
    bench.log_one()
    files = dict(bench.archive.files)
    (entry,) = bench.archive.listed("telemetry/manifest")
    bench.archive.files[entry] = b"{}"
    files[entry] = b"{}"
    again = Bench(bench, hours=5)
    again.round()
    assert entry in (again.alert() or "")
    assert bench.archive.files == files


def test_a_new_log_is_archived_from_its_beginning(bench: Bench) -> None:
    bench.log_one()
    bench.round(minutes=60)
    bench.log.id, bench.log.messages = "log-2", []
    bench.log_one()
    bench.round(minutes=60)
    assert bench.archived() == [1, 1]
    assert sorted({log for log, _ in chains(bench.archive)}) == ["log-1", "log-2"]
