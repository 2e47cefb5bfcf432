"""How a batch is written: one transaction, one lock of the table, one NOTIFY, one commit, on one connection.

First all saves at once, in a single round trip. Where that is refused (a lost race, a taken key, a value that
PostgreSQL does not take), nothing of it is there, and each save is tried under a savepoint of its own, in order, so
that each caller learns its own outcome and no other. The lock is held through the commit in both cases: the order
of the positions is the order of the commits.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Sequence
from typing import Any, LiteralString, NamedTuple

import psycopg
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresDatastore
from psycopg import Connection
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composed, Identifier

from adapters.postgres.save_queue import Save
from application.ports.event_store import IdempotencyRecord

STATEMENT_TIMEOUT_S = 10
TRANSACTION_TIMEOUT_S = 15
TCP_USER_TIMEOUT_MS = 20_000
IMPORT_CHUNK = 500


class StreamConflict(IntegrityError):
    """A version of a stream that is to be saved is there already."""


class KeyConflict(IntegrityError):
    """The idempotency key is there already."""


class _Statements(NamedTuple):
    lock: Composed
    notify: Composed
    insert: Composed
    insert_keys: Composed
    copy: Composed


def _statements(schema: str, table: str, channel: str, id_type: str) -> _Statements:
    names = {"schema": Identifier(schema), "table": Identifier(table), "id": SQL(_id_type(id_type))}
    insert = SQL(
        "INSERT INTO {schema}.{table} (originator_id, originator_version, topic, state)"
        " SELECT i, v, t, s FROM unnest(%b::{id}[], %b::bigint[], %b::text[], %b::bytea[])"
        " WITH ORDINALITY AS u (i, v, t, s, n) ORDER BY n RETURNING notification_id"
    )
    keys = SQL(
        "INSERT INTO {schema}.idempotency_keys (scope, key, body_hash, reply)"
        " SELECT * FROM unnest(%b::text[], %b::text[], %b::text[], %b::bytea[])"
    )
    copy = SQL(
        "COPY {schema}.{table} (originator_id, originator_version, topic, state) FROM STDIN (FORMAT binary)"
    )
    return _Statements(
        SQL("LOCK TABLE {schema}.{table} IN EXCLUSIVE MODE").format(**names),
        SQL("NOTIFY {}").format(Identifier(channel)),
        insert.format(**names),
        keys.format(**names),
        copy.format(**names),
    )


def _id_type(name: str) -> LiteralString:
    return "uuid" if name == "uuid" else "text"


class BatchWriter:
    """Writes batches over a connection of its own; not for two threads at once."""

    def __init__(self, datastore: PostgresDatastore, *, table: str, channel: str) -> None:
        self._datastore = datastore
        self._id_type = datastore.originator_id_type
        self._sql = _statements(datastore.schema, table, channel, self._id_type)
        self._connection: Connection[tuple[Any, ...]] | None = None

    def write(self, batch: Sequence[Save]) -> None:
        """Answer each save by its `ids`, after the commit, or by its `error`.

        An error of the connection is everybody's: whether the commit was done is not known then.
        """
        try:
            connection = self._connected()
            if not self._write_together(connection, batch):
                self._write_each(connection, batch)
        except psycopg.Error as error:
            self.close()
            for save in batch:
                if save.error is None:
                    save.ids, save.error = None, _translated(error)
        except BaseException:
            self.close()  # in the middle of a transaction, perhaps
            raise

    def copy(self, stored_events: Sequence[StoredEvent]) -> None:
        """Write all of them by COPY in one transaction, or none. Raises the library's errors."""
        try:
            connection = self._connected()
            connection.execute("BEGIN")
            connection.execute(self._sql.lock, prepare=True)
            with connection.cursor() as cursor, cursor.copy(self._sql.copy) as copying:
                copying.set_types([self._id_type, "int8", "text", "bytea"])
                for e in stored_events:
                    copying.write_row((e.originator_id, e.originator_version, e.topic, e.state))
            connection.execute(self._sql.notify)
            _commit(connection)
        except psycopg.Error as error:
            self.close()
            raise _translated(error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Idempotent; the next write connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):  # it is gone either way
                connection.close()

    def _write_together(self, connection: Connection[tuple[Any, ...]], batch: Sequence[Save]) -> bool:
        """False where PostgreSQL refused: then nothing is written, and the connection is ready again."""
        try:
            with connection.pipeline():
                connection.execute("BEGIN", prepare=True)
                connection.execute(self._sql.lock, prepare=True)
                connection.execute(self._sql.notify, prepare=True)
                inserted = self._insert(connection, batch)
                committed = connection.execute("COMMIT", prepare=True)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error:
            connection.execute("ROLLBACK")
            return False
        _check_committed(committed)
        _answer(batch, [row[0] for row in inserted.fetchall()])
        return True

    def _write_each(self, connection: Connection[tuple[Any, ...]], batch: Sequence[Save]) -> None:
        connection.execute("BEGIN")
        connection.execute(self._sql.lock)
        answers = [self._write_one(connection, save) for save in batch]
        connection.execute(self._sql.notify)
        _commit(connection)
        for save, answer in zip(batch, answers, strict=True):
            if isinstance(answer, psycopg.Error):
                save.error = _translated(answer)
            else:
                save.ids = answer

    def _write_one(self, connection: Connection[tuple[Any, ...]], save: Save) -> list[int] | psycopg.Error:
        try:
            with connection.pipeline():
                connection.execute("SAVEPOINT one", prepare=True)
                inserted = self._insert(connection, [save])
                connection.execute("RELEASE SAVEPOINT one", prepare=True)
            return [row[0] for row in inserted.fetchall()]
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error as error:
            connection.execute("ROLLBACK TO SAVEPOINT one")
            return error

    def _insert(
        self, connection: Connection[tuple[Any, ...]], batch: Sequence[Save]
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        if keys := [save.idempotency for save in batch if save.idempotency is not None]:
            connection.execute(self._sql.insert_keys, _key_columns(keys), prepare=True)
        return connection.execute(self._sql.insert, _event_columns(batch), prepare=True)

    def _connected(self) -> Connection[tuple[Any, ...]]:
        """The connection, made anew where the server has closed it since: nothing was sent over it then."""
        if self._connection is not None and _was_closed(self._connection):
            self.close()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection[tuple[Any, ...]]:
        pool, lock_timeout_s = self._datastore.pool, self._datastore.lock_timeout or 5
        parameters = dict(pool.kwargs) if isinstance(pool.kwargs, dict) else {}
        if pool.get_password_func is not None:
            parameters["password"] = pool.get_password_func()
        parameters |= {
            "row_factory": tuple_row,
            "autocommit": True,
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
            "application_name": "gridproof group commit",
            "options": f"-c lock_timeout={lock_timeout_s}s -c statement_timeout={STATEMENT_TIMEOUT_S}s"
            f" -c transaction_timeout={TRANSACTION_TIMEOUT_S}s -c idle_in_transaction_session_timeout=10s",
        }
        return psycopg.connect(pool.conninfo if isinstance(pool.conninfo, str) else "", **parameters)


def _was_closed(connection: Connection[tuple[Any, ...]]) -> bool:
    """Is there something to read on an idle connection? Then it is the server's farewell."""
    if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _event_columns(batch: Sequence[Save]) -> tuple[list[Any], list[int], list[str], list[bytes]]:
    rows = [stored for save in batch for stored in save.stored_events]
    return (
        [stored.originator_id for stored in rows],
        [stored.originator_version for stored in rows],
        [stored.topic for stored in rows],
        [stored.state for stored in rows],
    )


def _key_columns(keys: list[IdempotencyRecord]) -> tuple[list[str], list[str], list[str], list[bytes]]:
    keys.sort(key=lambda record: (record.scope, record.key))  # the same order for all: no deadlock
    return (
        [record.scope for record in keys],
        [record.key for record in keys],
        [record.body_hash for record in keys],
        [record.reply for record in keys],
    )


def _answer(batch: Sequence[Save], ids: list[int]) -> None:
    first = 0
    for save in batch:
        last = first + len(save.stored_events)
        save.ids, first = ids[first:last], last


def _commit(connection: Connection[tuple[Any, ...]]) -> None:
    _check_committed(connection.execute("COMMIT"))


def _check_committed(cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
    """COMMIT of a failed transaction is no error: it answers ROLLBACK."""
    if cursor.statusmessage != "COMMIT":
        raise psycopg.OperationalError(f"COMMIT was answered by {cursor.statusmessage}: nothing was saved")


def _translated(error: psycopg.Error) -> PersistenceError:
    """The library's error for ours, a new one for each caller, because a raised error carries its traceback."""
    kind = next(ours for theirs, ours in _KINDS if isinstance(error, theirs))
    if isinstance(error, psycopg.errors.UniqueViolation):
        is_key = error.diag.constraint_name == "idempotency_keys_pkey"
        kind = KeyConflict if is_key else StreamConflict
    found = kind(str(error))
    found.__cause__ = error
    return found


_KINDS: tuple[tuple[type[psycopg.Error], type[PersistenceError]], ...] = (
    (psycopg.InterfaceError, InterfaceError),
    (psycopg.OperationalError, OperationalError),
    (psycopg.DataError, DataError),
    (psycopg.IntegrityError, IntegrityError),
    (psycopg.ProgrammingError, ProgrammingError),
    (psycopg.Error, PersistenceError),
)
