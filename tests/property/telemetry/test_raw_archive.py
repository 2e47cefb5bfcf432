"""The raw archive under kill -9 at any point: it contains every message exactly once, and restores it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.ports.archive import ArchiveUnavailable
from application.raw_archive import object as raw_archive_object
from application.raw_archive.manifest import chains, entries
from application.raw_archive.object import BrokenObject, contents_of, messages_of
from application.raw_archive.verification import verify_archive
from application.raw_archive.writer import PartitionArchiver
from application.telemetry.ingest.batch_codec import MalformedMessages, ReadingBatch, pack
from application.telemetry.ingest.message_parser import MalformedReading
from domain.telemetry.meter_reading import MALFORMED, MeterReading
from tests.fakes.archive import FakeArchive
from tests.fakes.raw_archive.telemetry_log import FakeRawLog
from tests.sizes import examples

T0 = datetime(2026, 7, 14, 10, tzinfo=UTC)
PARTITIONS = (0, 3, MALFORMED)


class ArchiverKilled(BaseException):
    """Represents kill -9: nothing catches it."""


class DyingArchive(FakeArchive):
    """Raises at a call: before the effect, after it, or with the answer that the object does not exist."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_in: int | None = None
        self.how = "before"

    def put_once(self, name: str, content: bytes) -> None:
        struck = self._struck()
        if struck and self.how == "before":
            raise ArchiverKilled
        super().put_once(name, content)
        if struck and self.how == "after":
            raise ArchiverKilled
        if struck:
            raise ArchiveUnavailable("the answer was lost")

    def _struck(self) -> bool:
        if self.dies_in is None:
            return False
        self.dies_in -= 1
        return self.dies_in < 0


def body_of(partition: int, seq: int, at: datetime) -> bytes:
    if seq % 7 == 0:
        return b"\xc1 no pack"
    if partition == MALFORMED:
        return pack(MalformedMessages(received_at=at, malformed=[MalformedReading("t", "why", b"x" * seq)]))
    readings = [MeterReading("fac-001", f"m{n}", at - timedelta(seconds=n), 1.0, None, seq) for n in range(3)]
    return pack(ReadingBatch(received_at=at, readings=readings))


def archivers(log: FakeRawLog, archive: FakeArchive) -> list[PartitionArchiver]:
    return [PartitionArchiver(log, archive, log_id=log.id, partition=p) for p in PARTITIONS]


async def archived(log: FakeRawLog, archive: FakeArchive) -> None:
    for archiver in archivers(log, archive):
        await archiver.open()
        while await archiver.archive_next() is not None:
            pass


def archived_messages(archive: FakeArchive) -> list[tuple[int, int]]:
    """(sequence, partition) of every message that the manifest leads to."""
    found = []
    for names in chains(archive).values():
        for entry, _ in entries(archive, names):
            _, messages = messages_of(archive.get(entry.object))
            found += [(message.stream_seq, entry.partition) for message in messages]
    return sorted(found)


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["log", "die before", "die after", "lose"]), st.integers(0, 5), st.integers(0, 90)
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=examples(200))
@given(steps=steps, most=st.integers(1, 6))
def test_every_message_is_archived_exactly_once_after_a_kill_at_any_point(
    steps: list[Step], most: int
) -> None:
    log, archive, now = FakeRawLog(), DyingArchive(), T0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_archive_object, "MAX_MESSAGES", most)
        for what, number, minutes in steps:
            now += timedelta(minutes=minutes)
            for n in range(number):
                partition = PARTITIONS[(number + n) % len(PARTITIONS)]
                log.append(partition, body_of(partition, len(log.messages) + 1, now), at=now)
            if what != "log":
                archive.dies_in, archive.how = number, what.removeprefix("die ")
                with pytest.MonkeyPatch.context():
                    _run_until_it_dies(log, archive)
                archive.dies_in = None
        asyncio.run(archived(log, archive))
    assert archived_messages(archive) == sorted((m.stream_seq, p) for p, m in log.messages)
    report = verify_archive(archive)
    assert (report.findings, report.not_entered) == ((), ())


def _run_until_it_dies(log: FakeRawLog, archive: FakeArchive) -> None:
    try:
        asyncio.run(archived(log, archive))
    except (ArchiverKilled, ArchiveUnavailable):
        return


def two_hours() -> tuple[FakeRawLog, FakeArchive]:
    log, archive = FakeRawLog(), FakeArchive()
    for n in range(24):
        at = T0 + timedelta(minutes=5 * n)
        log.append(3, body_of(3, n + 1, at), at=at)
    return log, archive


def test_an_object_holds_one_hour_and_is_named_by_it_and_its_first_sequence() -> None:
    log, archive = two_hours()
    asyncio.run(archived(log, archive))
    assert archive.listed("telemetry/raw") == [
        f"telemetry/raw/log-1/p3/{1:020d}-20260714T10.gz",
        f"telemetry/raw/log-1/p3/{13:020d}-20260714T11.gz",
    ]
    (names,) = chains(archive).values()
    first, second = (entry for entry, _ in entries(archive, names))
    assert (first.contents.messages, first.contents.readings, first.contents.undecodable) == (12, 33, 1)
    assert (first.contents.first_seq, first.contents.last_seq) == (1, 12)
    assert (second.number, second.contents.first_seq, second.contents.last_seq) == (2, 13, 24)


def test_two_concurrent_archivers_write_one_object_if_one_of_them_read_more() -> None:
    log, archive = two_hours()

    async def scenario() -> None:
        slow, quick = (PartitionArchiver(log, archive, log_id=log.id, partition=3) for _ in range(2))
        await slow.open()
        await quick.open()
        gathered = await slow._gathered()
        log.append(3, body_of(3, 25, T0 + timedelta(minutes=118)), at=T0 + timedelta(minutes=118))
        while await quick.archive_next() is not None:
            pass
        assert gathered is not None
        assert await slow.archive_next() is not None
        while await slow.archive_next() is not None:
            pass
        assert (slow.position, slow.newest) == (quick.position, quick.newest)

    asyncio.run(scenario())
    assert [seq for seq, _ in archived_messages(archive)] == list(range(1, 26))


def test_an_existing_object_of_another_period_is_used_and_not_rewritten() -> None:
    log, archive = two_hours()

    async def scenario() -> None:
        by_two_hours = PartitionArchiver(
            log, archive, log_id=log.id, partition=3, period=timedelta(hours=2), reached=_die_after_object
        )
        await by_two_hours.open()
        with pytest.raises(ArchiverKilled):
            await by_two_hours.archive_next()

    asyncio.run(scenario())
    asyncio.run(archived(log, archive))
    assert [seq for seq, _ in archived_messages(archive)] == list(range(1, 25))
    assert verify_archive(archive).not_entered == ()


def _die_after_object(name: str, _in_flight: str) -> None:
    if name == "archive.after_object":
        raise ArchiverKilled


@settings(max_examples=examples(200))
@given(at=st.integers(0, 400), length=st.integers(0, 30), instead=st.binary(max_size=10))
def test_a_damaged_object_is_reported_as_damaged(at: int, length: int, instead: bytes) -> None:
    log, archive = two_hours()
    asyncio.run(archived(log, archive))
    whole = archive.get(archive.listed("telemetry/raw")[0])
    damaged = whole[:at] + instead + whole[at + length :]
    try:
        assert contents_of(damaged) == contents_of(whole)
    except BrokenObject:
        assert damaged != whole


def test_foreign_files_in_the_archive_are_reported_and_block_nothing() -> None:
    log, archive = two_hours()
    archive.put_once("telemetry/manifest/log-1/p3/zz", b"?")
    archive.put_once("telemetry/raw/readme", b"?")
    asyncio.run(archived(log, archive))
    assert [seq for seq, _ in archived_messages(archive)] == list(range(1, 25))
    assert [one.where for one in verify_archive(archive).findings] == ["telemetry/raw/readme"]


Damage = Callable[[dict[str, bytes], list[str], list[str]], None]


def _changed(files: dict[str, bytes], objects: list[str], _entries: list[str]) -> None:
    files[objects[0]] = files[objects[0]][:-1] + bytes([files[objects[0]][-1] ^ 1])


def _removed(files: dict[str, bytes], objects: list[str], _entries: list[str]) -> None:
    del files[objects[1]]


def _entry_removed(files: dict[str, bytes], _objects: list[str], entries_: list[str]) -> None:
    del files[entries_[0]]


def _entry_changed(files: dict[str, bytes], _objects: list[str], entries_: list[str]) -> None:
    files[entries_[0]] = files[entries_[0]].replace(b'"readings":33', b'"readings":34')


def _entry_garbled(files: dict[str, bytes], _objects: list[str], entries_: list[str]) -> None:
    files[entries_[1]] = b"{"


@pytest.mark.parametrize("damage", [_changed, _removed, _entry_removed, _entry_changed, _entry_garbled])
def test_changes_and_removals_are_reported(damage: Damage) -> None:
    log, archive = two_hours()
    asyncio.run(archived(log, archive))
    assert verify_archive(archive).verified
    damage(archive.files, archive.listed("telemetry/raw"), archive.listed("telemetry/manifest"))
    report = verify_archive(archive)
    assert not report.verified
    assert report.findings


def test_an_object_without_a_manifest_entry_is_entered_later_and_is_not_a_finding() -> None:
    log, archive = two_hours()
    asyncio.run(archived(log, archive))
    newest = archive.listed("telemetry/manifest")[-1]
    del archive.files[newest]
    report = verify_archive(archive)
    assert (report.verified, len(report.not_entered)) == (True, 1)
    asyncio.run(archived(log, archive))
    assert newest in archive.files
    assert verify_archive(archive).not_entered == ()
