"""Writer of snapshots: all snapshots that are due after a save, in one statement, made from the saved
aggregates.

The library loads each aggregate again and commits each snapshot separately. When a decision over 50 buildings
took all of them past the interval at once, that delayed one caller for half a second and those behind it for
seconds. Each stream therefore also has its own offset within the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import psycopg
import structlog
from eventsourcing.persistence import Mapper, StoredEvent

from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from adapters.postgres.wire_format import binary_arrays
from adapters.postgres.wire_format.binary_arrays import BIGINT, BYTEA, TEXT, array, bigint, element
from application.event_store.snapshot_mac import SnapshotMac
from domain.event_sourcing.aggregate import Aggregate
from domain.event_sourcing.snapshot import Snapshot

MAX_PER_STATEMENT = 200
"""Snapshots per statement."""

_log = structlog.get_logger(__name__)

YIELD_AFTER_S = 0.1
"""A snapshot waits so long for the connection and for a lock: others look up keys on that connection."""
# A snapshot that is lost in a crash, or was not taken, is taken after the next interval: no caller waits for the disk
# or for a lock.
_LAZILY = f"""
SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '{YIELD_AFTER_S * 1_000:g}ms', true)
""".encode()
_INSERT = """
INSERT INTO gridproof.{table} (originator_id, originator_version, topic, state, mac)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bytea[], $5::bytea[])
ON CONFLICT DO NOTHING
"""


class SnapshotWriter:
    """Writes over a connection that others may use too."""

    def __init__(
        self,
        dedicated: DedicatedConnection,
        mapper: Mapper[Any],
        *,
        table: str,
        intervals: Mapping[type[Any], int],
        mac: SnapshotMac,
    ) -> None:
        """`intervals`: aggregate class -> domain events between two snapshots. A shorter stream has no
        snapshot."""
        self._mapper = mapper
        self._mac = mac
        self._intervals = intervals
        dedicated.add({b"lazily": _LAZILY, b"snapshots": _INSERT.format(table=table).encode()})
        self._dedicated = dedicated

    def write_due(self, saved: Sequence[tuple[Aggregate[Any], int]]) -> None:
        """Write the snapshots that are due. `saved`: each aggregate with its number of newly saved domain
        events.

        Raises nothing: the save is committed, and a stream without a snapshot only loads more slowly.
        """
        due = [aggregate for aggregate, count in saved if self._is_due(aggregate, count)]
        for first in range(0, len(due), MAX_PER_STATEMENT):
            try:
                snapshots = [Snapshot.take(aggregate) for aggregate in due[first : first + MAX_PER_STATEMENT]]
                self._insert([self._mapper.to_stored_event(snapshot) for snapshot in snapshots])
            except psycopg.Error as error:
                _log.warning("snapshots were not taken", streams=len(due) - first, error=str(error))
                return
            except Exception:  # noqa: BLE001 - includes encoding errors, which must not fail a committed save
                _log.exception("snapshots were not taken", streams=len(due) - first)
                return

    def _is_due(self, aggregate: Aggregate[Any], count: int) -> bool:
        interval = self._intervals.get(type(aggregate))
        if interval is None or aggregate.version < interval:
            return False
        offset = aggregate.id.int % interval
        return (aggregate.version - offset) // interval > (aggregate.version - count - offset) // interval

    def _insert(self, stored: Sequence[StoredEvent]) -> None:
        columns = (
            array(binary_arrays.UUID, [element(snapshot.originator_id.bytes) for snapshot in stored]),  # type: ignore[union-attr]
            array(BIGINT, [element(bigint(snapshot.originator_version)) for snapshot in stored]),
            array(TEXT, [element(snapshot.topic.encode()) for snapshot in stored]),
            array(BYTEA, [element(snapshot.state) for snapshot in stored]),
            array(BYTEA, [element(self._mac_of(snapshot)) for snapshot in stored]),
        )
        self._dedicated.run((b"lazily", ()), (b"snapshots", columns), turn_within_s=YIELD_AFTER_S)

    def _mac_of(self, stored: StoredEvent) -> bytes:
        stream_id = cast("UUID", stored.originator_id)
        return self._mac.of(stream_id, stored.originator_version, stored.topic, stored.state)
