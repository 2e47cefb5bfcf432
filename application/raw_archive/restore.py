"""Restore from the raw archive: write readings measured in a range, and park malformed messages received in
it.

Restored readings do not pass the telemetry log: they would be archived again, and current messages would wait
behind them. Stored readings are not changed, so a range may be restored any number of times.
"""

from collections.abc import Callable, Collection

import msgspec

from application.ports.archive import Archive
from application.ports.operations.dead_letters import DeadLetters
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import ReadingsRefused, TelemetryStore
from application.raw_archive.archived_packs import RestoreSelection, all_entries, archived_packs
from application.telemetry.ingest.batch_codec import MalformedMessages
from application.telemetry.ingest.malformed_dead_letters import letters_of
from domain.telemetry.meter_reading import MeterReading, partition_of

READINGS_AT_ONCE = 5_000
FINALIZED_AT_ONCE = 200
"""Quarter-hours of facilities in one transaction, as in the aggregate worker."""

OnProgress = Callable[[int, int], None]
"""(compressed bytes read so far, in total)"""


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a restore."""

    objects: int
    readings: int
    """In the range, of the requested facilities."""
    added: int
    """Readings that were missing in the store, or stored with an older revision; 0 in a dry run."""
    refused_messages: int
    """Messages that the store will never accept."""
    undecodable_messages: int
    malformed: int
    """Unusable meter messages received in the range; they are then among the dead letters."""
    dry_run: bool


class RestoreWriter:
    """Collects the readings of several messages for one write. `store` None: they are only counted."""

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
            for message in messages:  # only the message with refused readings is left out
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
    selection: RestoreSelection,
    *,
    rollups: TelemetryRollups | None = None,
    dead_letters: DeadLetters | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _done, _all: None,
) -> RestoreReport:
    """Write the selected readings to the store and finalize their rollups with `rollups` (None: the store
    does it itself), and park malformed messages in `dead_letters`. Existing letters keep their decision.

    In a dry run everything is only counted.

    Raises ArchiveContradicted for an object that does not match the manifest, ArchiveUnavailable,
    NotArchived, OperationsUnavailable or TelemetryStoreUnavailable. Restored readings then stay, and the
    restore can be repeated.
    """
    chosen = [entry for entry in all_entries(archive) if selection.may_be_in(entry)]
    of, done, readings, undecodable, malformed = sum(entry.stored_bytes for entry in chosen), 0, 0, 0, 0
    writer = RestoreWriter(None if dry_run else store)
    for entry in chosen:
        for _, found in archived_packs(archive, entry):
            if found is None:
                undecodable += 1
            elif isinstance(found, MalformedMessages):
                malformed += _park(selection.malformed_of(found), None if dry_run else dead_letters)
            elif in_range := selection.of(found.readings):
                readings += len(in_range)
                writer.take(in_range)
        done += entry.stored_bytes
        on_progress(done, of)
    writer.finish()
    if rollups is not None:
        finalize_partitions(rollups, writer.written_to)
    return RestoreReport(
        objects=len(chosen),
        readings=readings,
        added=writer.added,
        refused_messages=writer.refused,
        undecodable_messages=undecodable,
        malformed=malformed,
        dry_run=dry_run,
    )


def _park(messages: MalformedMessages, dead_letters: DeadLetters | None) -> int:
    """Park the messages. Returns their number."""
    letters = list(letters_of(messages))
    if dead_letters is not None:
        for letter in letters:
            dead_letters.park(letter)
    return len(letters)


def finalize_partitions(rollups: TelemetryRollups, partitions: Collection[int]) -> None:
    """Store the rollups of the partitions' dirty quarter-hours. Raises TelemetryStoreUnavailable."""
    for partition in sorted(partitions):
        while True:
            finalized = rollups.finalize(partition, limit=FINALIZED_AT_ONCE)
            if finalized.quarters < FINALIZED_AT_ONCE and not finalized.more:
                break
