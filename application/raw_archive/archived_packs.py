"""Reading the packs of the raw archive: what is in each message of an object, and which objects may hold a range."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from application.ports.archive import Archive
from application.ports.raw_archive.telemetry_log import RawMessage
from application.raw_archive.manifest import ArchiveContradicted, ManifestEntry, chains, digest, entries
from application.raw_archive.object import BrokenObject, messages_of
from application.telemetry.ingest.batch_codec import (
    MalformedBatch,
    MalformedMessages,
    ReadingBatch,
    unpack,
    unpack_malformed,
)
from domain.telemetry.meter_reading import MALFORMED, MeterReading, partition_of

LOGGED_WITHIN = timedelta(days=1)
"""The longest delay between receipt and logging. Ingest holds messages for minutes while the log is
unavailable; later a broker delivers them again, and they are received again."""


class RestoreSelection(msgspec.Struct, frozen=True, kw_only=True):
    """The selection: readings measured from `starts_at` to before `ends_at`, of those facilities (None: of
    all)."""

    starts_at: datetime
    ends_at: datetime
    facility_ids: frozenset[str] | None = None

    def of(self, readings: Sequence[MeterReading]) -> list[MeterReading]:
        return [
            r
            for r in readings
            if self.starts_at <= r.ts < self.ends_at
            and (self.facility_ids is None or r.facility_id in self.facility_ids)
        ]

    def malformed_of(self, messages: MalformedMessages) -> MalformedMessages:
        """The messages received in the range, from the facilities' topics."""
        found = messages.malformed if self.starts_at <= messages.received_at < self.ends_at else []
        if self.facility_ids is not None:
            found = [one for one in found if facility_in_topic(one.topic) in self.facility_ids]
        return msgspec.structs.replace(messages, malformed=found)

    def may_be_in(self, entry: ManifestEntry) -> bool:
        contents = entry.contents
        if entry.partition == MALFORMED:
            # A message is logged after its receipt, and later still if the log was unavailable.
            return (
                contents.logged_through >= self.starts_at
                and contents.logged_from < self.ends_at + LOGGED_WITHIN
            )
        oldest, newest = contents.readings_from, contents.readings_through
        if oldest is None or newest is None:
            return False
        if self.facility_ids is not None and entry.partition not in map(partition_of, self.facility_ids):
            return False
        return oldest < self.ends_at and newest >= self.starts_at


def facility_in_topic(topic: str) -> str:
    """The facility that a topic names; empty where it names none."""
    return topic.split("/")[1] if topic.count("/") > 1 else ""


def all_entries(archive: Archive) -> Iterator[ManifestEntry]:
    """Every entry of the manifest. Raises as `entries`."""
    for names in chains(archive).values():
        for entry, _ in entries(archive, names):
            yield entry


def archived_packs(
    archive: Archive, entry: ManifestEntry
) -> Iterator[tuple[RawMessage, ReadingBatch | MalformedMessages | None]]:
    """Each message of the object with its content; None for one that is not a packed batch.

    Raises ArchiveContradicted for an object that does not match the manifest, NotArchived or ArchiveUnavailable.
    """
    read = unpack_malformed if entry.partition == MALFORMED else unpack
    content = archive.get(entry.object)
    if digest(content) != entry.sha256:
        raise ArchiveContradicted(
            f"{entry.object} is not what was archived; see `gridproof telemetry archive verify`"
        )
    try:
        _, messages = messages_of(content)
        for message in messages:
            try:
                found = read(message.body)
            except MalformedBatch:
                found = None
            yield message, found
    except BrokenObject as error:
        raise ArchiveContradicted(f"{entry.object}: {error}") from error
