"""Loaders of aggregates and idempotency keys, each in one round trip.

An aggregate is loaded from its cached state and the domain events that were recorded since. States are
immutable, so that a cached one can be shared. Every load reads the events of other processes, so that no
decision depends on the cache alone. A new database session may belong to a server that was restored or
promoted and lost events, so the cache is cleared then.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg.pq.abc import PGresult

from adapters.postgres.connection.dedicated_connection import DedicatedConnection, DedicatedSession
from adapters.postgres.connection.pipeline import Call
from adapters.postgres.event_store.errors import as_library_errors
from adapters.postgres.event_store.snapshot_reader import (
    SnapshotVerifier,
    StoredSnapshot,
    select_newest_snapshots,
    select_older_snapshots,
)
from adapters.postgres.thread_batcher import ThreadBatcher
from adapters.postgres.wire_format import binary_arrays
from adapters.postgres.wire_format.binary_arrays import (
    BIGINT,
    TEXT,
    TRUE,
    array,
    bigint,
    bigint_of,
    element,
)
from application.bounded_cache import BoundedCache
from application.event_store.event_mapper import decode_domain_event
from application.ports.event_store.event_store import IdempotencyRecord, ScopedKey
from domain.event_sourcing.aggregate import Aggregate

MAX_KEYS_PER_BATCH = 500
MAX_CACHED = 20_000
MAX_CACHED_BYTES = 64 * 2**20
"""Measured in the stored form; in memory a state takes up to five times as much."""

_SINCE = """
SELECT e.originator_id, e.originator_version, e.topic, e.state
FROM unnest($1::uuid[], $2::bigint[]) AS known (id, version)
JOIN gridproof.{table} e ON e.originator_id = known.id AND e.originator_version > known.version
ORDER BY e.originator_id, e.originator_version
"""
_KEYS = b"""
SELECT k.scope, k.key, k.body_hash, k.reply FROM unnest($1::text[], $2::text[]) AS wanted (scope, key)
JOIN gridproof.idempotency_keys k ON k.scope = wanted.scope AND k.key = wanted.key
"""

_Row = tuple[UUID, int, str, bytes]
_UNAVAILABLE = (OperationalError, InterfaceError)
TKey = TypeVar("TKey", bound=Hashable)
TValue = TypeVar("TValue")


def batched(
    fetch: Callable[[Sequence[TKey]], Mapping[TKey, TValue]],
) -> ThreadBatcher[Sequence[TKey], Mapping[TKey, TValue]]:
    """Reads of concurrent threads, in one round trip. The answer holds at least the values that exist for the keys of
    its request. Values are shared between callers, so they must be immutable.

    `fetch` returns the values that exist for distinct keys. It is called by one thread at a time.
    """

    def read(requests: Sequence[Sequence[TKey]]) -> list[Mapping[TKey, TValue] | Exception]:
        keys = list(dict.fromkeys(key for keys in requests for key in keys))
        try:
            values = fetch(keys)
        except _UNAVAILABLE:  # the first attempt may meet a connection that the server has just closed
            values = fetch(keys)
        return [values] * len(requests)

    return ThreadBatcher(
        read,
        sizes=lambda keys: (len(keys),),
        limits=(MAX_KEYS_PER_BATCH,),
        unavailable=_UNAVAILABLE,
        repeats=True,
    )


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
        self,
        dsn: str,
        *,
        events_table: str,
        snapshots_table: str = "",
        verifier: SnapshotVerifier | None = None,
    ) -> None:
        """Without a `verifier` no snapshot is read."""
        statements = {b"since": _SINCE.format(table=events_table).encode()}
        if verifier is not None:
            statements |= {
                b"snapshots": select_newest_snapshots(events_table, snapshots_table),
                b"older snapshots": select_older_snapshots(events_table, snapshots_table),
            }
        self._verifier = verifier
        self._dedicated = DedicatedConnection(dsn, "streams", statements)
        self._cached = BoundedCache[UUID, CachedAggregate](
            "aggregates",
            max_size=MAX_CACHED_BYTES,
            size_of=lambda cached: cached.byte_count,
            max_entries=MAX_CACHED,
        )
        self._session: str | None = None

    def load(self, stream_ids: Sequence[UUID]) -> Mapping[UUID, CachedAggregate]:
        """The streams that exist, all as of one moment.

        Raises UnreadableDomainEvent, or the library's errors.
        """
        self._clear_cache_in_new_session()
        loaded = {i: cached for i in stream_ids if (cached := self._cached.get(i)) is not None}
        missing = [i for i in stream_ids if i not in loaded]
        read: dict[UUID, CachedAggregate] = {}
        if missing and self._verifier is not None:
            read = self._from_snapshots(self._verifier, missing)
            loaded |= read
        changed: dict[UUID, Any] = {}
        sizes = {stream_id: cached.byte_count for stream_id, cached in loaded.items()}
        versions = [element(bigint(loaded[i].version if i in loaded else 0)) for i in stream_ids]
        since = self._run((b"since", (_ids(stream_ids), array(BIGINT, versions))))
        for stream_id, version, topic, state in _rows_of(since):
            aggregate = changed.get(stream_id)
            if aggregate is None and stream_id in loaded:
                aggregate = loaded[stream_id].restored(stream_id)
            changed[stream_id] = decode_domain_event(topic, stream_id, version, state).mutate(aggregate)
            sizes[stream_id] = sizes.get(stream_id, 0) + len(state)
        read |= {i: _cached(aggregate, sizes[i]) for i, aggregate in changed.items()}
        for stream_id, cached in read.items():
            self._cached.put(stream_id, cached)
        return loaded | read

    def close(self) -> None:
        """Idempotent."""
        self._dedicated.close()

    def _clear_cache_in_new_session(self) -> None:
        session = self._connected().name
        if session != self._session:
            self._cached.clear()
            self._session = session

    def _connected(self) -> DedicatedSession:
        with as_library_errors():
            return self._dedicated.session()

    def _from_snapshots(
        self, verifier: SnapshotVerifier, stream_ids: Sequence[UUID]
    ) -> dict[UUID, CachedAggregate]:
        """The streams that have a usable snapshot. Older ones are read only where the newest is not usable."""
        newest = _snapshots_of(self._run((b"snapshots", (_ids(stream_ids),))))
        if not newest:
            return {}
        usable = dict(verifier.newest_usable(newest))
        refused = [row.stream_id for row in newest if row.stream_id not in usable]
        if refused:
            older = self._run((b"older snapshots", (_ids(refused),)))
            usable |= verifier.newest_usable(_snapshots_of(older))
        return {
            stream_id: _cached(snapshot.mutate(None), size) for stream_id, (snapshot, size) in usable.items()
        }

    def _run(self, call: Call) -> PGresult:
        session = self._connected()
        if session.name != self._session:  # replaced since this load began
            raise OperationalError("the connection was replaced in the middle of a load: try again")
        with as_library_errors():
            try:
                [answer] = session.statements.run(call)
            except psycopg.Error:
                self.close()
                raise
        return answer


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


def _rows_of(answer: PGresult) -> Iterator[_Row]:
    value = answer.get_value
    for row in range(answer.ntuples):
        yield (
            UUID(bytes=value(row, 0) or b""),
            bigint_of(value(row, 1) or b""),
            (value(row, 2) or b"").decode(),
            value(row, 3) or b"",
        )


def _snapshots_of(answer: PGresult) -> list[StoredSnapshot]:
    value = answer.get_value
    return [
        StoredSnapshot(*row, mac=value(number, 4) or b"", is_of_stream=value(number, 5) == TRUE)
        for number, row in enumerate(_rows_of(answer))
    ]


class IdempotencyKeyLoader:
    """Loads idempotency keys."""

    def __init__(self, dedicated: DedicatedConnection) -> None:
        dedicated.add({b"find": _KEYS})
        self._dedicated = dedicated

    def load(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        """The keys that are stored. Raises the library's errors."""
        scopes = array(TEXT, [element(scope.encode()) for scope, _ in keys])
        names = array(TEXT, [element(key.encode()) for _, key in keys])
        with as_library_errors():
            [answer] = self._dedicated.run((b"find", (scopes, names)))
        loaded = {}
        for row in range(answer.ntuples):
            scope, key, body_hash, reply = (answer.get_value(row, column) or b"" for column in range(4))
            record = IdempotencyRecord(scope.decode(), key.decode(), body_hash.decode(), reply)
            loaded[record.scope, record.key] = record
        return loaded
