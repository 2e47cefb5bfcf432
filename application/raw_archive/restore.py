"""Back from the raw archive: readings measured in a range, written as the aggregate worker writes them, and what was
malformed among what was received in it, to the dead letters.

They do not pass the telemetry log again: it would be archived a second time, and what meters send now would wait
behind it. What is stored already is left as it is, so that a range may be restored any number of times.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from application.ports.archive import Archive
from application.ports.operations.dead_letters import DeadLetters
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import ReadingsRefused, TelemetryStore
from application.raw_archive.manifest import ArchiveContradicted, ManifestEntry, chains, digest, entries
from application.raw_archive.object import BrokenObject, messages_of
from application.telemetry.ingest.batch_codec import (
    MalformedBatch,
    MalformedMessages,
    ReadingBatch,
    unpack,
    unpack_malformed,
)
from application.telemetry.ingest.malformed_dead_letters import letters_of
from domain.telemetry.meter_reading import MALFORMED, MeterReading, partition_of

READINGS_AT_ONCE = 5_000
LOGGED_WITHIN = timedelta(days=1)
"""Ingest holds what the log does not take for minutes; a broker hands it out again then, and it is received again."""
SETTLED_AT_ONCE = 200
"""Quarter-hours of facilities in one transaction, as the aggregate worker has them."""

OnProgress = Callable[[int, int], None]
"""(compressed bytes read so far, of all)"""


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in the range and what became of it."""

    objects: int
    readings: int
    """In the range, of the facilities asked for."""
    added: int
    """That the store did not have, or had an earlier word on; in a dry run 0."""
    refused_messages: int
    """That the store will never take: poison, as it was when it first came."""
    undecodable_messages: int
    malformed: int
    """Meter messages received in the range that could not be used; they are among the dead letters then."""
    dry_run: bool


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which readings: measured from `starts_at` to before `ends_at`, of those facilities (None: of all)."""

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
        """Those that were received in the range, of the facilities' topics."""
        found = messages.malformed if self.starts_at <= messages.received_at < self.ends_at else []
        if self.facility_ids is not None:
            found = [one for one in found if _facility_of(one.topic) in self.facility_ids]
        return msgspec.structs.replace(messages, malformed=found)

    def may_be_in(self, entry: ManifestEntry) -> bool:
        contents = entry.contents
        if entry.partition == MALFORMED:
            # What is received is logged after it, and later still where the log was away.
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


class _Restoring:
    """Gathers the readings of several messages for one write."""

    def __init__(self, store: TelemetryStore | None) -> None:
        self._store = store
        self._waiting: dict[int, list[list[MeterReading]]] = {}
        self._sizes: dict[int, int] = {}
        self.written_to: set[int] = set()
        self.added = self.refused = 0

    def take(self, readings: list[MeterReading]) -> None:
        partition = partition_of(readings[0].facility_id)
        self._waiting.setdefault(partition, []).append(readings)
        self._sizes[partition] = self._sizes.get(partition, 0) + len(readings)
        if self._sizes[partition] >= READINGS_AT_ONCE:
            self._write(partition)

    def finish(self) -> None:
        for partition in sorted(self._waiting):
            self._write(partition)

    def _write(self, partition: int) -> None:
        messages = self._waiting.pop(partition)
        self._sizes[partition] = 0
        if self._store is None:
            return
        self.written_to.add(partition)
        try:
            self.added += self._put(self._store, partition, [r for message in messages for r in message])
        except ReadingsRefused:
            for message in messages:  # poison keeps out its own message, as it did when it came
                try:
                    self.added += self._put(self._store, partition, message)
                except ReadingsRefused:
                    self.refused += 1

    @staticmethod
    def _put(store: TelemetryStore, partition: int, readings: list[MeterReading]) -> int:
        return store.write_readings(partition, 0, readings)  # sequence 0 moves no position


def restore(
    archive: Archive,
    store: TelemetryStore,
    wanted: Wanted,
    *,
    rollups: TelemetryRollups | None = None,
    dead_letters: DeadLetters | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _done, _all: None,
) -> RestoreReport:
    """Write those readings into the store and their intervals into `rollups` (None: the store makes them itself), and
    park what was malformed in `dead_letters`: a letter that is there stays as somebody decided on it.

    In a dry run they are only counted.

    Raises ArchiveContradicted for an object that is not what the manifest says, ArchiveUnavailable, NotArchived,
    OperationsUnavailable or TelemetryStoreUnavailable: then what was restored stays, and it can be restored again.
    """
    chosen = [entry for entry in _all_entries(archive) if wanted.may_be_in(entry)]
    of, done, readings, undecodable, malformed = sum(entry.stored_bytes for entry in chosen), 0, 0, 0, 0
    restoring = _Restoring(None if dry_run else store)
    for entry in chosen:
        for found in _packs(archive, entry):
            if found is None:
                undecodable += 1
            elif isinstance(found, MalformedMessages):
                malformed += _park(wanted.malformed_of(found), None if dry_run else dead_letters)
            elif in_range := wanted.of(found.readings):
                readings += len(in_range)
                restoring.take(in_range)
        done += entry.stored_bytes
        on_progress(done, of)
    restoring.finish()
    if rollups is not None:
        _settle(rollups, restoring.written_to)
    return RestoreReport(
        objects=len(chosen),
        readings=readings,
        added=restoring.added,
        refused_messages=restoring.refused,
        undecodable_messages=undecodable,
        malformed=malformed,
        dry_run=dry_run,
    )


def _park(messages: MalformedMessages, dead_letters: DeadLetters | None) -> int:
    """How many it are."""
    letters = list(letters_of(messages))
    if dead_letters is not None:
        for letter in letters:
            dead_letters.park(letter)
    return len(letters)


def _facility_of(topic: str) -> str:
    return topic.split("/")[1] if topic.count("/") > 1 else ""


def _settle(rollups: TelemetryRollups, partitions: Collection[int]) -> None:
    for partition in sorted(partitions):
        while True:
            finalized = rollups.finalize(partition, limit=SETTLED_AT_ONCE)
            if finalized.quarters < SETTLED_AT_ONCE and not finalized.more:
                break


def _all_entries(archive: Archive) -> Iterator[ManifestEntry]:
    for names in chains(archive).values():
        for entry, _ in entries(archive, names):
            yield entry


def _packs(archive: Archive, entry: ManifestEntry) -> Iterator[ReadingBatch | MalformedMessages | None]:
    """What each message holds; None for one that is no pack."""
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
                yield read(message.body)
            except MalformedBatch:
                yield None
    except BrokenObject as error:
        raise ArchiveContradicted(f"{entry.object}: {error}") from error
