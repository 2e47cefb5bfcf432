"""Archiving of one partition of the telemetry log: first the object, then its manifest entry, each written
once.

The newest entry alone determines the position. If a writer is killed between the two, the next writer finds
the object under the same name and makes its entry. The same happens if two write at once.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from application.ports.archive import AlreadyArchived, Archive
from application.ports.raw_archive.telemetry_log import RawLog
from application.raw_archive.manifest import (
    ArchiveContradicted,
    ManifestEntry,
    digest,
    entry_name,
    newest_entry,
    not_entered,
    object_name,
    read_entry,
    written,
)
from application.raw_archive.object import (
    FORMAT,
    BrokenObject,
    Contents,
    ObjectHeader,
    ObjectWriter,
    contents_of,
)

HOUR = timedelta(hours=1)
READ_AT_ONCE = 64
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

Reached = Callable[[str, str], None]


def _nowhere(_name: str, _in_flight: str) -> None:
    return


def period_of(moment: datetime, length: timedelta) -> datetime:
    """The start of the period of `length` (whole hours) that contains `moment`."""
    return _EPOCH + (moment - _EPOCH) // length * length


class PartitionArchiver:
    """Writes the objects of one partition. Call `open` first; after an error it may be opened again."""

    def __init__(
        self,
        log: RawLog,
        archive: Archive,
        *,
        log_id: str,
        partition: int,
        period: timedelta = HOUR,
        reached: Reached = _nowhere,
    ) -> None:
        self._log = log
        self._archive = archive
        self._log_id = log_id
        self._partition = partition
        self._period = period
        self._reached = reached
        self._newest: ManifestEntry | None = None
        self._newest_digest: str | None = None
        self._not_entered: dict[int, str] = {}
        """First sequence -> object, whatever its period: the clock's speed may have been different."""

    async def open(self) -> None:
        """Read the newest entry. Raises ArchiveUnavailable or ArchiveContradicted."""
        of = (self._archive, self._log_id, self._partition)
        found = await asyncio.to_thread(newest_entry, *of)
        self._newest, self._newest_digest = found or (None, None)
        self._not_entered = await asyncio.to_thread(not_entered, *of, self.position)

    @property
    def newest(self) -> ManifestEntry | None:
        return self._newest

    @property
    def position(self) -> int:
        """The last archived sequence, 0 before the first."""
        return 0 if self._newest is None else self._newest.contents.last_seq

    def ends_at(self, moment: datetime) -> datetime:
        """The end of the period of `moment`."""
        return period_of(moment, self._period) + self._period

    async def archive_next(self) -> ManifestEntry | None:
        """Archive the waiting messages of one period, at most one object; None if nothing waits.

        Raises StreamUnavailable, ArchiveUnavailable or ArchiveContradicted.
        """
        gathered = await self._gathered()
        if gathered is None:
            return None
        name, content, contents = gathered
        content, contents = await asyncio.to_thread(self._put_object, name, content, contents)
        self._reached("archive.after_object", name)
        entry = ManifestEntry(
            log_id=self._log_id,
            partition=self._partition,
            number=1 if self._newest is None else self._newest.number + 1,
            object=name,
            sha256=digest(content),
            stored_bytes=len(content),
            previous=self._newest_digest,
            contents=contents,
        )
        await asyncio.to_thread(self._put_entry, entry)
        self._newest, self._newest_digest = entry, digest(written(entry))
        self._reached("archive.after_entry", name)
        return entry

    async def _gathered(self) -> tuple[str, bytes, Contents] | None:
        """Name, bytes and contents of the next object."""
        position, writer, name, ends_at = self.position, None, "", _EPOCH
        while messages := await self._log.read(self._partition, position, limit=READ_AT_ONCE):
            for message in messages:
                if writer is None:
                    header = ObjectHeader(
                        format=FORMAT,
                        log_id=self._log_id,
                        partition=self._partition,
                        first_seq=message.stream_seq,
                    )
                    began_at = period_of(message.logged_at, self._period)
                    name = self._not_entered.get(message.stream_seq) or object_name(
                        self._log_id, self._partition, message.stream_seq, began_at
                    )
                    writer, ends_at = ObjectWriter(header), began_at + self._period
                if writer.full or message.logged_at >= ends_at:
                    return (name, *writer.finished())
                writer.add(message)
                position = message.stream_seq
        return None if writer is None else (name, *writer.finished())

    def _put_object(self, name: str, content: bytes, contents: Contents) -> tuple[bytes, Contents]:
        """Store the object, or return the one that the archive has under that name; it may have another
        length."""
        try:
            self._archive.put_once(name, content)
        except AlreadyArchived:
            found = self._archive.get(name)
            try:
                header, its_contents = contents_of(found)
            except BrokenObject as error:
                raise ArchiveContradicted(f"{name}: {error}") from error
            ours = (self._log_id, self._partition, contents.first_seq)
            if (header.log_id, header.partition, its_contents.first_seq) != ours:
                raise ArchiveContradicted(f"{name} holds something else than its name says") from None
            return found, its_contents
        return content, contents

    def _put_entry(self, entry: ManifestEntry) -> None:
        name = entry_name(entry.object)
        try:
            self._archive.put_once(name, written(entry))
        except AlreadyArchived:
            if read_entry(name, self._archive.get(name)) != entry:
                raise ArchiveContradicted(f"{name} exists with other content") from None
