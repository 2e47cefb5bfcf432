"""The unchanged eventsourcing library behind our event store port, for comparison in benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, cast
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.event_store.event_store import store_environment
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_store import (
    ONE_DECISION,
    IdempotencyRecord,
    SaveBounds,
    SaveRequest,
    ScopedKey,
    StreamNotFound,
    TAggregate,
    VersionConflict,
)
from domain.event_sourcing.aggregate import Aggregate
from tests.saved_one_by_one import saved_one_by_one

_INSERT_KEY = "INSERT INTO gridproof.idempotency_keys (scope, key, body_hash, reply) VALUES (%s, %s, %s, %s)"
_FIND_KEY = (
    "SELECT scope, key, body_hash, reply FROM gridproof.idempotency_keys WHERE scope = %s AND key = %s"
)


class StockRecorder(PostgresApplicationRecorder):
    """The library's recorder, extended only by the idempotency key through the library's hook."""

    def _insert_events(
        self,
        curs: Any,
        stored_events: Sequence[StoredEvent],
        *,
        idempotency: IdempotencyRecord | None = None,
        **_: Any,
    ) -> None:
        if idempotency is not None:
            record = (idempotency.scope, idempotency.key, idempotency.body_hash, idempotency.reply)
            curs.execute(_INSERT_KEY, record)


class StockStore:
    """An EventStore on the library's repository and recorder."""

    RECORDER: ClassVar[str] = "tests.bench.stock_library:StockRecorder"

    def __init__(self, url: str) -> None:
        parts = {f"POSTGRES_{name.upper()}": str(value) for name, value in conninfo_to_dict(url).items()}
        environment = (
            store_environment(url)
            | parts
            | {
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "APPLICATION_RECORDER_TOPIC": self.RECORDER,
                "POSTGRES_SCHEMA": "gridproof",
                "POSTGRES_POOL_SIZE": "1",
                "POSTGRES_MAX_OVERFLOW": "1",
                "POSTGRES_PRE_PING": "yes",
                "POSTGRES_LOCK_TIMEOUT": "5",
            }
        )
        self._application = DemandResponse(env=environment)

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        try:
            return self._application.repository.get(stream_id)
        except AggregateNotFoundError as error:
            raise StreamNotFound(f"no {aggregate_class.__name__} {stream_id}") from error

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        found = {}
        for stream_id in stream_ids:
            with suppress(StreamNotFound):
                found[stream_id] = self.load(aggregate_class, stream_id)
        return found

    def save(
        self,
        aggregates: Sequence[Aggregate[Any]],
        *,
        idempotency: IdempotencyRecord | None = None,
        bounds: SaveBounds = ONE_DECISION,
    ) -> None:
        del bounds  # the stock library has none
        try:
            self._application.save(*aggregates, idempotency=idempotency)
        except IntegrityError as error:
            raise VersionConflict(str(error)) from error

    def save_each(self, savings: Sequence[SaveRequest]) -> list[Exception | None]:
        return saved_one_by_one(self, savings)

    def find_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        found = {key: self.find_reply(*key) for key in keys}
        return {key: reply for key, reply in found.items() if reply is not None}

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        recorder = cast("PostgresApplicationRecorder", self._application.recorder)
        with recorder.datastore.get_connection() as connection:
            row = connection.execute(_FIND_KEY, (scope, key)).fetchone()
        return None if row is None else IdempotencyRecord(**row)

    def close(self) -> None:
        self._application.close()


@contextmanager
def opened_stock_store(url: str) -> Iterator[StockStore]:
    store = StockStore(url)
    try:
        yield store
    finally:
        store.close()
