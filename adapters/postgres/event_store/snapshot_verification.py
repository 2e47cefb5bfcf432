"""Verification of snapshots: each stored one is compared with a fold of its stream's domain events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, autocommit_connection
from adapters.postgres.event_store.snapshot_reader import StoredSnapshot, readable_snapshot
from application.event_store.event_mapper import decode_domain_event
from application.event_store.snapshot_mac import SnapshotMac
from application.event_store.snapshot_report import SnapshotReport
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.event_sourcing.snapshot import Snapshot

_STREAMS_AT_ONCE = 50
_COUNT = "SELECT count(DISTINCT originator_id) FROM gridproof.demand_response_snapshots"
_STREAMS = """
SELECT DISTINCT originator_id FROM gridproof.demand_response_snapshots WHERE originator_id > %s
ORDER BY originator_id LIMIT %s
"""
_SNAPSHOTS = """
SELECT s.originator_id, s.originator_version, s.topic, s.state, s.mac, EXISTS (
    SELECT FROM gridproof.demand_response_events e
    WHERE e.originator_id = s.originator_id AND e.originator_version = s.originator_version
)
FROM gridproof.demand_response_snapshots s WHERE s.originator_id = ANY(%s)
ORDER BY s.originator_id, s.originator_version
"""
_EVENTS = """
SELECT originator_version, topic, state FROM gridproof.demand_response_events
WHERE originator_id = %s AND originator_version <= %s ORDER BY originator_version
"""
_FIRST = UUID(int=0)

Connection = psycopg.Connection[tuple[Any, ...]]


class SnapshotVerification:
    """`pool` connects as the application's role."""

    def __init__(
        self, pool: ConnectionPool[Connection], mac: SnapshotMac, kinds: Collection[type[Any]]
    ) -> None:
        """`kinds`: the aggregate classes that have snapshots."""
        self._pool = pool
        self._mac = mac
        self._kinds = kinds

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> SnapshotReport:
        """Verify every snapshot. `progress` gets the number of streams done, and of all.

        Raises EventStoreUnavailable, or UnreadableDomainEvent for a stream that cannot be folded.
        """
        report, after, done = SnapshotReport(), _FIRST, 0
        with autocommit_connection(self._pool, PortErrors(EventStoreUnavailable)) as connection:
            [(total,)] = connection.execute(_COUNT).fetchall()
            while streams := [i for (i,) in connection.execute(_STREAMS, (after, _STREAMS_AT_ONCE))]:
                rows = [StoredSnapshot(*row) for row in connection.execute(_SNAPSHOTS, (streams,))]
                for stream_id, stored in groupby(rows, key=lambda row: row.stream_id):
                    usable = dict(self._usable(stored, report))
                    self._compare(connection, stream_id, usable, report)
                after, done = streams[-1], done + len(streams)
                progress(done, total)
        return report

    def _usable(
        self, stored: Iterator[StoredSnapshot], report: SnapshotReport
    ) -> Iterator[tuple[int, Snapshot]]:
        for row in stored:
            if not row.is_of_stream:
                report.add("ahead", row.stream_id, row.version)
            elif not self._mac.verifies(row.mac, row.stream_id, row.version, row.topic, row.state):
                report.add("wrong-mac", row.stream_id, row.version)
            elif (snapshot := readable_snapshot(row, self._kinds)) is None:
                report.other_schema += 1
            else:
                yield row.version, snapshot

    def _compare(
        self,
        connection: Connection,
        stream_id: UUID,
        snapshots: Mapping[int, Snapshot],
        report: SnapshotReport,
    ) -> None:
        """Fold the stream once, and compare at the version of each snapshot."""
        aggregate: Any = None
        for version, topic, state in connection.execute(_EVENTS, (stream_id, max(snapshots, default=0))):
            aggregate = decode_domain_event(topic, stream_id, version, state).mutate(aggregate)
            snapshot = snapshots.get(version)
            if snapshot is None:
                continue
            taken = snapshot.mutate(None)
            if (type(taken), taken.state, taken.created_on, taken.modified_on) == (
                type(aggregate),
                aggregate.state,
                aggregate.created_on,
                aggregate.modified_on,
            ):
                report.equal += 1
            else:
                report.add("differs", stream_id, version)
