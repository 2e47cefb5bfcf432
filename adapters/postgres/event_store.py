"""The event store on PostgreSQL: eventsourcing with a recorder whose concurrent saves share their commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
)
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow

from adapters.postgres.batch_writer import KeyConflict
from adapters.postgres.group_commit import GroupCommitRecorder
from application.event_mapper import UnreadableDomainEvent, decode_domain_event
from application.ports.event_log import LogEntry, LogEntryUnreadable
from application.ports.event_store import (
    EventStoreUnavailable,
    IdempotencyKeyTaken,
    IdempotencyRecord,
    KeyWithoutDomainEvents,
    StreamNotFound,
    TAggregate,
    VersionConflict,
)
from domain.event_sourcing import Aggregate

SCHEMA = "gridproof"
_FIND_KEY = (
    "SELECT scope, key, body_hash, reply FROM gridproof.idempotency_keys WHERE scope = %s AND key = %s"
)


def store_environment(database_url: str, *, pool_size: int = 4, lock_timeout_s: int = 5) -> dict[str, str]:
    """The settings by which eventsourcing reaches PostgreSQL with our recorder and mapper."""
    parts = conninfo_to_dict(database_url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "APPLICATION_RECORDER_TOPIC": "adapters.postgres.group_commit:GroupCommitRecorder",
        "MAPPER_TOPIC": "application.event_mapper:MsgspecMapper",
        "CREATE_TABLE": "no",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts.get("host", "127.0.0.1")),
        "POSTGRES_PORT": str(parts.get("port", 5432)),
        "POSTGRES_USER": str(parts.get("user", "")),
        "POSTGRES_PASSWORD": str(parts.get("password", "")),
        "POSTGRES_SCHEMA": SCHEMA,
        "POSTGRES_POOL_SIZE": str(pool_size),
        "POSTGRES_MAX_OVERFLOW": str(pool_size * 4),
        "POSTGRES_PRE_PING": "yes",
        "POSTGRES_LOCK_TIMEOUT": str(lock_timeout_s),
        "POSTGRES_CONNECT_TIMEOUT": "5",
        "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT": "10",
    }


class PostgresEventStore:
    """EventStore and EventLog of one application (`demand_response` or `forecasts`)."""

    def __init__(
        self, application: type[Application[UUID]], database_url: str, *, pool_size: int = 4
    ) -> None:
        self._application = application(env=store_environment(database_url, pool_size=pool_size))
        recorder = self._application.recorder
        if not isinstance(recorder, GroupCommitRecorder):
            raise TypeError(
                f"{application.__name__} must use GroupCommitRecorder, not {type(recorder).__name__}"
            )
        self._recorder = recorder

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        try:
            return self._application.repository.get(stream_id)
        except AggregateNotFoundError as error:
            raise StreamNotFound(f"no {aggregate_class.__name__} {stream_id}") from error
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error

    def save(
        self, aggregates: Sequence[Aggregate[Any]], *, idempotency: IdempotencyRecord | None = None
    ) -> None:
        if not any(aggregate.pending_events for aggregate in aggregates):
            if idempotency is not None:
                raise KeyWithoutDomainEvents(f"nothing to save beside the key {idempotency.key!r}")
            return
        try:
            self._application.save(*aggregates, idempotency=idempotency)
        except IntegrityError as error:
            raise _conflict(error) from error
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error

    def find_reply(self, scope: str, key: str) -> IdempotencyRecord | None:
        row = self._one(_FIND_KEY, (scope, key))
        if row is None:
            return None
        return IdempotencyRecord(row["scope"], row["key"], row["body_hash"], bytes(row["reply"]))

    def read_after(self, position: int, limit: int) -> list[LogEntry]:
        try:
            stored = self._recorder.select_notifications(
                start=position, limit=limit, inclusive_of_start=False
            )
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error
        return [_entry(item) for item in stored]

    def head(self) -> int:
        try:
            return self._recorder.max_notification_id() or 0
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Saves under way are still written."""
        self._recorder.close()
        self._application.close()

    def _one(self, sql: str, parameters: tuple[Any, ...]) -> DictRow | None:
        try:
            with self._recorder.datastore.get_connection() as connection:
                return connection.execute(sql, parameters).fetchone()
        except (OperationalError, InterfaceError) as error:
            raise _unavailable(error) from error


def _entry(stored: Any) -> LogEntry:
    try:
        domain_event = decode_domain_event(
            stored.topic, stored.originator_id, stored.originator_version, stored.state
        )
    except UnreadableDomainEvent as error:
        raise LogEntryUnreadable(stored.id, stored.topic, str(error)) from error
    return LogEntry(stored.id, stored.topic, domain_event)


def _conflict(error: IntegrityError) -> Exception:
    """A lost race for a key, or for a stream."""
    if isinstance(error, KeyConflict):
        return IdempotencyKeyTaken("that idempotency key was stored by another process first")
    return VersionConflict(f"another process saved first ({error})")


def _unavailable(error: PersistenceError) -> EventStoreUnavailable:
    return EventStoreUnavailable(f"the event store did not answer: {error}")
