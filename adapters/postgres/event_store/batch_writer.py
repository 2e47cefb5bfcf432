"""Writer of a batch of saves: one transaction, one table lock, one NOTIFY and one commit, on one connection.

First all saves are written together, in a single round trip. If PostgreSQL refuses this (a version conflict,
an idempotency key that exists, a value that it does not accept, a time ahead of its clock), nothing is
written, and each save is retried in order under its own savepoint, so that each caller gets its own outcome.
The table lock is held until the commit in both cases, so that the order of positions is the order of commits.
If the connection breaks, the outcome is looked up.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg.pq.abc import PGresult

from adapters.postgres.connection.dedicated_connection import DedicatedConnection, DedicatedSession
from adapters.postgres.connection.pipeline import Call
from adapters.postgres.event_store.commit_recovery import resolve_in_doubt_commit
from adapters.postgres.event_store.errors import TimeAhead, to_library_error
from adapters.postgres.event_store.library_factory import StoreDatastore
from adapters.postgres.event_store.save_request import Save
from adapters.postgres.event_store.statements import (
    BEGIN,
    COMMIT,
    DATED_AHEAD,
    LOCK,
    NOTIFY,
    RECORD_TIMELINE,
    RELEASE,
    SAVEPOINT,
    WriteStatements,
)
from adapters.postgres.wire_format.binary_arrays import bigint_of


class BatchWriter:
    """Writes batches over its own connection. Not safe for use by two threads at once."""

    def __init__(self, datastore: StoreDatastore, *, table: str, channel: str) -> None:
        self._sql = WriteStatements(datastore, table=table, channel=channel)
        self._dedicated = DedicatedConnection(
            datastore.dsn, "group commit", self._sql.together, lock_timeout_s=datastore.lock_timeout
        )
        self._timeline_recorded_by = ""
        """The name of the last session whose first batch has recorded its timeline."""

    def write(self, batch: Sequence[Save]) -> list[list[int] | Exception]:
        """Write the batch. Each save gets its `ids` after the commit, or its `error`; returns their outcomes."""
        self._write(batch)
        return [save.outcome for save in batch]

    def close(self) -> None:
        """Idempotent; the next write connects again."""
        self._dedicated.close()

    def _write(self, batch: Sequence[Save]) -> None:
        try:
            session = self._dedicated.session()
        except psycopg.Error as error:
            _fail(batch, error)
            return
        try:
            if not self._write_together(session, batch):
                self._write_each(session, batch)
        except psycopg.Error as error:
            _fail(batch, error)
            was_refused = not session.statements.is_lost  # all is rolled back
            self.close()
            if not was_refused:
                resolve_in_doubt_commit(self._dedicated, self._sql, batch, lost_session=session.name)
        except BaseException:
            self.close()  # the connection may be in a transaction
            raise

    def _write_together(self, session: DedicatedSession, batch: Sequence[Save]) -> bool:
        """False if one of the saves was refused: nothing is written then, and the connection is ready again."""
        try:
            *_, inserted, committed = session.statements.run(
                *self._begin(session), NOTIFY, *self._sql.insert(batch), COMMIT
            )
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error:
            session.connection.execute("ROLLBACK")
            return False
        _check_committed(_status(committed))
        ids = _positions(inserted)
        if not ids:  # a save is dated ahead, and nothing was inserted
            return False
        self._timeline_recorded_by = session.name
        first = 0
        for save in batch:
            last = first + len(save.stored_events)
            save.ids, first = ids[first:last], last
        return True

    def _write_each(self, session: DedicatedSession, batch: Sequence[Save]) -> None:
        session.statements.run(*self._begin(session))
        outcomes = [self._write_one(session, save) for save in batch]
        *_, committed = session.statements.run(NOTIFY, COMMIT)
        _check_committed(_status(committed))
        self._timeline_recorded_by = session.name
        for save, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, psycopg.Error):
                save.error = to_library_error(outcome)
            elif not outcome:
                save.error = TimeAhead(DATED_AHEAD)
            else:
                save.ids = outcome

    def _begin(self, session: DedicatedSession) -> tuple[Call, ...]:
        """Begin a transaction. A session's timeline never changes, so its first batch alone records it."""
        if session.name == self._timeline_recorded_by:
            return BEGIN, LOCK
        return BEGIN, LOCK, RECORD_TIMELINE

    def _write_one(self, session: DedicatedSession, save: Save) -> list[int] | psycopg.Error:
        try:
            *_, inserted, _ = session.statements.run(SAVEPOINT, *self._sql.insert([save]), RELEASE)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error as error:
            session.connection.execute("ROLLBACK TO SAVEPOINT one")
            return error
        return _positions(inserted)


def _positions(inserted: PGresult) -> list[int]:
    return [bigint_of(inserted.get_value(row, 0) or b"") for row in range(inserted.ntuples)]


def _status(outcome: PGresult) -> str:
    return (outcome.command_status or b"").decode()


def _check_committed(status: str | None) -> None:
    """COMMIT of a failed transaction raises no error; its command tag is ROLLBACK."""
    if status != "COMMIT":
        raise psycopg.OperationalError(f"COMMIT was answered by {status}: nothing was saved")


def _fail(batch: Sequence[Save], error: psycopg.Error) -> None:
    for save in batch:
        save.ids, save.error = None, to_library_error(error)
