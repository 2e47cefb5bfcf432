"""Reader of snapshots: only those that this system made, of versions that their streams have.

A snapshot with a wrong MAC, or of a version that its stream does not have, was made up or belongs to another state of
the log: it is skipped and reported. Without a usable snapshot a stream is folded from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.utils import TopicError, resolve_topic

from application.event_store.event_mapper import UnreadableDomainEvent, decode_stored
from application.event_store.snapshot_mac import SnapshotMac
from domain.event_sourcing.snapshot import Snapshot

NEWEST = 8
"""The number of snapshots of a stream that are examined. Two releases side by side may write them alternately."""
MAX_REPORTED = 1_000
"""Streams that a process remembers as reported."""

# A join, since PostgreSQL may answer EXISTS by a hash of the whole log.
_SELECT = """
SELECT s.originator_id, s.originator_version, s.topic, s.state, s.mac, e.originator_id IS NOT NULL
FROM unnest($1::uuid[]) AS wanted (id), LATERAL (
    SELECT * FROM gridproof.{snapshots} WHERE originator_id = wanted.id
    ORDER BY originator_version DESC LIMIT {newest}
) s
LEFT JOIN gridproof.{events} e
    ON e.originator_id = s.originator_id AND e.originator_version = s.originator_version
ORDER BY s.originator_id, s.originator_version DESC
"""


class StoredSnapshot(NamedTuple):
    """A row of the table."""

    stream_id: UUID
    version: int
    topic: str
    state: bytes
    mac: bytes
    is_of_stream: bool
    """Whether the stream has a domain event of that version."""


class Snapshots(NamedTuple):
    """How an event store writes and reads snapshots."""

    mac: SnapshotMac
    report_forged: Callable[[str], None]
    """Called with a text for each stream with a wrong snapshot. Must not raise."""


def select_newest_snapshots(events_table: str, snapshots_table: str) -> bytes:
    """The statement that reads the newest snapshot of each stream in `$1`."""
    return _SELECT.format(events=events_table, snapshots=snapshots_table, newest=1).encode()


def select_older_snapshots(events_table: str, snapshots_table: str) -> bytes:
    """The statement that reads the newest few snapshots of each stream in `$1`, newest first."""
    return _SELECT.format(events=events_table, snapshots=snapshots_table, newest=NEWEST).encode()


class SnapshotVerifier:
    """Decides which stored snapshots are used. Not safe for use by two threads at once."""

    def __init__(self, snapshots: Snapshots, kinds: Collection[type[Any]]) -> None:
        """`kinds`: the aggregate classes that have snapshots."""
        self._mac = snapshots.mac
        self._report_forged = snapshots.report_forged
        self._kinds = frozenset(kinds)
        self._reported: set[UUID] = set()

    def newest_usable(self, rows: Iterable[StoredSnapshot]) -> Mapping[UUID, tuple[Snapshot, int]]:
        """The first usable snapshot of each stream, with its size in bytes. `rows`: those of a stream newest first."""
        usable: dict[UUID, tuple[Snapshot, int]] = {}
        for row in rows:
            if row.stream_id not in usable and (snapshot := self._snapshot_of(row)) is not None:
                usable[row.stream_id] = snapshot, len(row.state)
        return usable

    def _snapshot_of(self, row: StoredSnapshot) -> Snapshot | None:
        problem = problem_of(self._mac, row)
        if problem is not None:
            self._report(row.stream_id, problem)
            return None
        return readable_snapshot(row, self._kinds)

    def _report(self, stream_id: UUID, problem: str) -> None:
        if stream_id in self._reported or len(self._reported) >= MAX_REPORTED:
            return
        self._reported.add(stream_id)
        self._report_forged(problem)


def problem_of(mac: SnapshotMac, row: StoredSnapshot) -> str | None:
    """The reason why the snapshot was not made by this system from this log; None if nothing does."""
    where = f"version {row.version} of stream {row.stream_id}"
    if not row.is_of_stream:
        return f"a snapshot of {where}, which that stream does not have"
    if not mac.verifies(row.mac, row.stream_id, row.version, row.topic, row.state):
        return f"the snapshot of {where} has a wrong MAC"
    return None


def readable_snapshot(row: StoredSnapshot, kinds: Collection[type[Any]]) -> Snapshot | None:
    """The snapshot; None if this release cannot read it, since the domain events hold the same state."""
    try:
        snapshot = decode_stored(row.topic, row.stream_id, row.version, row.state)
        if isinstance(snapshot, Snapshot) and resolve_topic(snapshot.topic) in kinds and snapshot.is_readable:
            return snapshot
    except (UnreadableDomainEvent, TopicError):
        pass
    return None
