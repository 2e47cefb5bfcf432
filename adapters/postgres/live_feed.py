"""Source of the live feed in PostgreSQL. It reads the positions of the read models first, then the log
entries that they cover."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.connection.session import open_session
from adapters.postgres.connection.transaction import PortErrors, autocommit_connection
from application.event_store.event_mapper import recorded_at_of
from application.ports.live_feed import (
    SERVING,
    LiveEntry,
    LiveLogUnavailable,
    LiveUpdate,
    ReadModelState,
    served_until,
)
from domain.event_sourcing.decoders import json_decoder

MOST_CONNECTIONS = 3
CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 10
"""By then a connection that hangs is replaced, and a statement that waits for a lock is ended."""
CHANNEL = "projection_positions"
"""The channel on which projections announce their positions."""
_ERRORS = PortErrors(LiveLogUnavailable, "the log")
_POSITIONS = """
SELECT name, position, stopped_at IS NOT NULL, (
    SELECT state FROM gridproof.demand_response_events
    WHERE notification_id > position ORDER BY notification_id LIMIT 1
) FROM gridproof.projection_positions WHERE name = ANY(%s)
"""
_HEAD = "SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events"
# Only the first domain event of a facility holds its id; it cannot be derived from the stream id.
_ENTRIES = """
SELECT told.notification_id, told.topic, told.originator_id, told.state,
    CASE WHEN starts_with(told.topic, 'facility.') THEN (
        SELECT first.state FROM gridproof.demand_response_events AS first
        WHERE first.originator_id = told.originator_id AND first.originator_version = 1
    ) END
FROM gridproof.demand_response_events AS told
WHERE told.notification_id > %s AND told.notification_id <= %s
ORDER BY told.notification_id LIMIT %s
"""
_STORED_AT = "SELECT max(stored_at) FROM gridproof.telemetry_positions"


class _EntryFields(msgspec.Struct):
    """The fields that are read from a stored domain event of any release."""

    recorded_at: datetime | None = None
    dr_event_id: UUID | None = None
    facility_id: str | None = None


_decode = json_decoder(_EntryFields).decode


class PostgresLiveLog:
    """`pool` connects as the application's role; it is closed with the log."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    @classmethod
    def at(cls, dsn: str) -> PostgresLiveLog:
        """With a small pool of its own, so that it waits for no other reader and detects soon that the server
        is gone."""
        return cls(
            PostgresPool(
                dsn,
                application_name="gridproof live log",
                answer_within_s=ANSWER_WITHIN_S,
                min_size=1,
                max_size=MOST_CONNECTIONS,
                timeout=CONNECT_WITHIN_S,
                open=True,
            )
        )

    def read_update(self, after: int | None, *, limit: int) -> LiveUpdate:
        with self._connection() as connection:
            rows = {row[0]: row for row in connection.execute(_POSITIONS, (list(SERVING),))}
            head = int(next(iter(connection.execute(_HEAD)))[0])
            states = tuple(_state(name, rows.get(name)) for name in SERVING)
            until = served_until(states, head)
            entries = [] if after is None or until <= after else _entries(connection, after, until, limit)
        return LiveUpdate(head=head, read_models=states, entries=tuple(entries))

    def entries(self, after: int, until: int, *, limit: int) -> list[LiveEntry]:
        with self._connection() as connection:
            return _entries(connection, after, until, limit)

    def readings_stored_at(self) -> datetime | None:
        with self._connection() as connection:
            row = connection.execute(_STORED_AT).fetchone()
        return row[0].astimezone(UTC) if row is not None and row[0] is not None else None

    def check(self) -> None:
        conninfo = self._pool.conninfo
        address = conninfo if isinstance(conninfo, str) else conninfo()
        with (
            _ERRORS.translated(),
            open_session(address, "gridproof live log", connect_within_s=int(CONNECT_WITHIN_S)),
        ):
            pass  # a successful login proves that the server answers and can start a process

    def close(self) -> None:
        self._pool.close()

    def _connection(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        return autocommit_connection(self._pool, _ERRORS)


def _state(name: str, row: Any) -> ReadModelState:
    """A projection without a row has not started."""
    if row is None:
        return ReadModelState(name=name, position=0)
    _, position, is_stopped, following = row
    behind_since = None if following is None else recorded_at_of(bytes(following))
    return ReadModelState(name=name, position=position, is_stopped=is_stopped, behind_since=behind_since)


def _entries(connection: psycopg.Connection[Any], after: int, until: int, limit: int) -> list[LiveEntry]:
    return [_entry(*row) for row in connection.execute(_ENTRIES, (after, until, limit))]


def _entry(position: int, topic: str, stream_id: UUID, state: bytes, first: bytes | None) -> LiveEntry:
    fields = _fields_of(state)
    facility_id = fields.facility_id
    if facility_id is None and first is not None:
        facility_id = _fields_of(first).facility_id
    return LiveEntry(
        position=position,
        topic=topic,
        occurred_at=fields.recorded_at,
        dr_event_id=stream_id if topic.startswith("dr-event.") else fields.dr_event_id,
        facility_id=facility_id,
    )


def _fields_of(state: bytes) -> _EntryFields:
    """The readable fields; none if the state cannot be read. The entry is reported in either case."""
    try:
        return _decode(bytes(state))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _EntryFields()
