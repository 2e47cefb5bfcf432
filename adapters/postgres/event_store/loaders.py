"""Loaders of aggregates and idempotency keys, each in one round trip.

An aggregate is loaded from its cached state and the domain events that were recorded since. States are
immutable, so that a cached one can be shared. Every load reads the events of other processes, so that no
decision depends on the cache alone. A new database session may belong to a server that was restored or
promoted and lost events, so the cache is cleared then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.persistence import OperationalError
from eventsourcing.postgres import PostgresDatastore

from adapters.postgres.connection.dedicated_connection import DedicatedConnection, DedicatedSession
from adapters.postgres.connection.pipeline import Call
from adapters.postgres.event_store.errors import to_library_error
from adapters.postgres.wire_format import binary_arrays
from adapters.postgres.wire_format.binary_arrays import BIGINT, TEXT, array, bigint, bigint_of, element
from application.event_store.event_mapper import UnreadableDomainEvent, decode_domain_event, decode_stored
from application.ports.event_store.event_store import IdempotencyRecord, ScopedKey
from domain.event_sourcing.aggregate import Aggregate
from domain.event_sourcing.snapshot import Snapshot

MAX_CACHED = 20_000
MAX_CACHED_BYTES = 64 * 2**20
"""Measured in the stored form; in memory a state takes up to five times as much."""

_SINCE = """
SELECT e.originator_id, e.originator_version, e.topic, e.state
FROM unnest($1::uuid[], $2::bigint[]) AS known (id, version)
JOIN gridproof.{table} e ON e.originator_id = known.id AND e.originator_version > known.version
ORDER BY e.originator_id, e.originator_version
"""
# Only the newest snapshot of each stream. If this release cannot read it, the stream is replayed from its
# beginning.
_SNAPSHOTS = """
SELECT s.originator_id, s.originator_version, s.topic, s.state FROM unnest($1::uuid[]) AS wanted (id),
LATERAL (
    SELECT * FROM gridproof.{table} WHERE originator_id = wanted.id ORDER BY originator_version DESC LIMIT 1
) s
"""

_KEYS = b"""
SELECT k.scope, k.key, k.body_hash, k.reply FROM unnest($1::text[], $2::text[]) AS wanted (scope, key)
JOIN gridproof.idempotency_keys k ON k.scope = wanted.scope AND k.key = wanted.key
"""

_Row = tuple[UUID, int, str, bytes]


class CachedAggregate(NamedTuple):
    """An aggregate at one version, shared between threads."""

    kind: type[Aggregate[Any]]
    version: int
    created_on: datetime
    modified_on: datetime
    state: Any
    byte_count: int
    """Size of the snapshot and the domain events that it was made from."""

    def restored(self, stream_id: UUID) -> Aggregate[Any]:
        """A copy for one caller."""
        aggregate = self.kind.__new__(self.kind)
        aggregate.__base_init__(stream_id, self.version, self.created_on)
        aggregate.modified_on = self.modified_on
        aggregate.__dict__["_state"] = self.state
        return aggregate


class StreamLoader:
    """Loads aggregates over its own connection. Not safe for use by two threads at once."""

    def __init__(
        self, datastore: PostgresDatastore, *, events_table: str, snapshots_table: str | None
    ) -> None:
        statements = {b"since": _SINCE.format(table=events_table).encode()}
        if snapshots_table is not None:
            statements[b"snapshots"] = _SNAPSHOTS.format(table=snapshots_table).encode()
        self._has_snapshots = snapshots_table is not None
        self._dedicated = DedicatedConnection(datastore, "streams", statements)
        self._cached: OrderedDict[UUID, CachedAggregate] = OrderedDict()
        self._cached_bytes = 0
        self._session: str | None = None

    def load(self, stream_ids: Sequence[UUID]) -> Mapping[UUID, CachedAggregate]:
        """The streams that exist, all as of one moment.

        Raises UnreadableDomainEvent, or the library's errors.
        """
        self._clear_cache_in_new_session()
        loaded = {i: self._cached[i] for i in stream_ids if i in self._cached}
        missing = [i for i in stream_ids if i not in loaded]
        if missing and self._has_snapshots:
            loaded |= _from_snapshots(self._rows((b"snapshots", (_ids(missing),))))
        changed: dict[UUID, Any] = {}
        sizes = {stream_id: cached.byte_count for stream_id, cached in loaded.items()}
        versions = [element(bigint(loaded[i].version if i in loaded else 0)) for i in stream_ids]
        for stream_id, version, topic, state in self._rows(
            (b"since", (_ids(stream_ids), array(BIGINT, versions)))
        ):
            aggregate = changed.get(stream_id)
            if aggregate is None and stream_id in loaded:
                aggregate = loaded[stream_id].restored(stream_id)
            changed[stream_id] = decode_domain_event(topic, stream_id, version, state).mutate(aggregate)
            sizes[stream_id] = sizes.get(stream_id, 0) + len(state)
        loaded |= {i: _cached(aggregate, sizes[i]) for i, aggregate in changed.items()}
        self._cache(loaded)
        return loaded

    def close(self) -> None:
        """Idempotent."""
        self._dedicated.close()

    def _clear_cache_in_new_session(self) -> None:
        session = self._connected().name
        if session != self._session:
            self._cached.clear()
            self._cached_bytes = 0
            self._session = session

    def _connected(self) -> DedicatedSession:
        try:
            return self._dedicated.session()
        except psycopg.Error as error:
            raise to_library_error(error) from error

    def _rows(self, call: Call) -> Iterator[_Row]:
        session = self._connected()
        if session.name != self._session:  # replaced since this load began
            raise OperationalError("the connection was replaced in the middle of a load: try again")
        try:
            [answer] = session.statements.run(call)
        except psycopg.Error as error:
            self.close()
            raise to_library_error(error) from error
        value = answer.get_value
        for row in range(answer.ntuples):
            yield (
                UUID(bytes=value(row, 0) or b""),
                bigint_of(value(row, 1) or b""),
                (value(row, 2) or b"").decode(),
                value(row, 3) or b"",
            )

    def _cache(self, loaded: Mapping[UUID, CachedAggregate]) -> None:
        for stream_id, cached in loaded.items():
            before = self._cached.pop(stream_id, None)
            self._cached[stream_id] = cached
            self._cached_bytes += cached.byte_count - (before.byte_count if before is not None else 0)
        while len(self._cached) > MAX_CACHED or self._cached_bytes > MAX_CACHED_BYTES:
            _, evicted = self._cached.popitem(last=False)
            self._cached_bytes -= evicted.byte_count


def _ids(stream_ids: Sequence[UUID]) -> bytes:
    return array(binary_arrays.UUID, [element(stream_id.bytes) for stream_id in stream_ids])


def _cached(aggregate: Aggregate[Any], byte_count: int) -> CachedAggregate:
    return CachedAggregate(
        type(aggregate),
        aggregate.version,
        aggregate.created_on,
        aggregate.modified_on,
        aggregate.state,
        byte_count,
    )


def _from_snapshots(rows: Iterator[_Row]) -> dict[UUID, CachedAggregate]:
    loaded: dict[UUID, CachedAggregate] = {}
    for stream_id, version, topic, state in rows:
        try:
            snapshot = decode_stored(topic, stream_id, version, state)
        except UnreadableDomainEvent:
            continue  # of a newer release; the domain events hold the same state
        if isinstance(snapshot, Snapshot) and snapshot.is_readable:
            loaded[stream_id] = _cached(snapshot.mutate(None), len(state))
    return loaded


class IdempotencyKeyLoader:
    """Loads idempotency keys over its own connection. Not safe for use by two threads at once."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._dedicated = DedicatedConnection(datastore, "keys", {b"find": _KEYS})

    def load(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        """The keys that are stored. Raises the library's errors."""
        scopes = array(TEXT, [element(scope.encode()) for scope, _ in keys])
        names = array(TEXT, [element(key.encode()) for _, key in keys])
        try:
            [answer] = self._dedicated.session().statements.run((b"find", (scopes, names)))
        except psycopg.Error as error:
            self.close()
            raise to_library_error(error) from error
        loaded = {}
        for row in range(answer.ntuples):
            scope, key, body_hash, reply = (answer.get_value(row, column) or b"" for column in range(4))
            record = IdempotencyRecord(scope.decode(), key.decode(), body_hash.decode(), reply)
            loaded[record.scope, record.key] = record
        return loaded

    def close(self) -> None:
        """Idempotent."""
        self._dedicated.close()
