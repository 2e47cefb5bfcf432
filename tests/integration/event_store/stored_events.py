"""Stored events for a recorder, and the contents of a log."""

import time
from collections.abc import Callable
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg.conninfo import make_conninfo

from adapters.postgres.event_store.library_factory import StoreDatastore
from application.ports.event_store.event_store import IdempotencyRecord
from tests.servers import Database

TABLE = "demand_response_events"
LOG = f"SELECT originator_id, originator_version FROM gridproof.{TABLE} ORDER BY notification_id"
PATIENCE_S = 60.0


def datastore(dsn: str, *, port: int | None = None, lock_timeout_s: int = 5) -> StoreDatastore:
    """A datastore that connects as the application; `port` selects a proxy."""
    address = dsn if port is None else make_conninfo(dsn, port=port)
    return StoreDatastore(address, lock_timeout_s=lock_timeout_s)


def stored(stream: UUID, version: int = 1, state: bytes = b"{}") -> StoredEvent:
    return StoredEvent(stream, version, "facility.registered.v1", state)


def key(name: str) -> IdempotencyRecord:
    return IdempotencyRecord("scope", name, "hash", b"reply")


def log_of(database: Database) -> list[tuple[UUID, int]]:
    with psycopg.connect(database.app_dsn) as connection:
        return [(row[0], row[1]) for row in connection.execute(LOG.encode()).fetchall()]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
