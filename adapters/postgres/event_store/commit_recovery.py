"""Resolution of in-doubt commits: whether saves are in the log although the connection broke before the
commit was confirmed.

The session that wrote them may still be running. It is terminated first, and the table is locked, so that a
save that is absent then stays absent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from eventsourcing.persistence import OperationalError
from psycopg import Connection

from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from adapters.postgres.event_store.save_request import Save
from adapters.postgres.event_store.statements import WriteStatements
from application.ports.event_store.event_store import IdempotencyRecord

OUTCOME_WITHIN_S = 5.0
"""How long callers wait if PostgreSQL disappears during a commit; one attempt to connect may be added."""

_TRY_EVERY_S = 0.05
_END_WITHIN_MS = 2_000
# Two statements, because in one PostgreSQL may call the function for every session before it compares the
# name.
_FIND_SESSION = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
_END_SESSION = "SELECT pg_terminate_backend(%s, %s)"


def resolve_in_doubt_commit(
    dedicated: DedicatedConnection, sql: WriteStatements, batch: Sequence[Save], *, lost_session: str
) -> None:
    """Set `ids` on the saves of `batch` that are in the log. The others keep their error, which then says
    that nothing was saved.

    If PostgreSQL stays unreachable, all saves keep their error and the outcome stays unknown.
    """
    outcomes = _look_up_within_deadline(dedicated, sql, batch, lost_session)
    if outcomes is None:
        return
    for save, ids in zip(batch, outcomes, strict=True):
        if ids is not None:
            save.ids, save.error = ids, None
        else:
            save.error = OperationalError(f"nothing was saved (looked up): {save.error}")


def _look_up_within_deadline(
    dedicated: DedicatedConnection, sql: WriteStatements, batch: Sequence[Save], lost_session: str
) -> list[list[int] | None] | None:
    deadline = time.monotonic() + OUTCOME_WITHIN_S
    while True:
        try:
            connection = dedicated.session().connection
            with _deadline(deadline, connection):
                return _look_up(connection, sql, batch, lost_session)
        except psycopg.Error:
            dedicated.close()
            if time.monotonic() > deadline:
                return None
            time.sleep(_TRY_EVERY_S)


@contextlib.contextmanager
def _deadline(deadline: float, connection: Connection[tuple[Any, ...]]) -> Iterator[None]:
    """Shut the connection's socket down at `deadline`, so that a server that disappeared or was stopped does
    not block the callers.

    A statement that waits for an answer then raises psycopg.OperationalError.
    """
    # Uses its own file descriptor: that of the connection may belong to another file by then.
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), _shut_down, (duplicate,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut_down(duplicate: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is shut down already
        duplicate.shutdown(socket.SHUT_RDWR)


def _look_up(
    connection: Connection[tuple[Any, ...]], sql: WriteStatements, batch: Sequence[Save], lost_session: str
) -> list[list[int] | None]:
    with connection.transaction():
        for (pid,) in connection.execute(_FIND_SESSION, (lost_session,)).fetchall():
            if connection.execute(_END_SESSION, (pid, _END_WITHIN_MS)).fetchone() != (True,):
                raise psycopg.OperationalError("the session that wrote could not be ended")
        connection.execute(sql.lock)
        return [_positions(connection, sql, save) for save in batch]


def _positions(connection: Connection[tuple[Any, ...]], sql: WriteStatements, save: Save) -> list[int] | None:
    """The positions of a save. None unless every domain event of it is stored byte for byte, and its
    idempotency key with this reply."""
    if save.idempotency is not None:
        key = connection.execute(sql.find_key, (save.idempotency.scope, save.idempotency.key)).fetchone()
        if key is None or IdempotencyRecord(*key) != save.idempotency:
            return None
    positions = []
    for stored in save.stored_events:
        outcomes = connection.execute(
            sql.find_event, (stored.originator_id, stored.originator_version)
        ).fetchone()
        if outcomes is None or outcomes[1:] != (stored.topic, stored.state):
            return None
        positions.append(outcomes[0])
    return positions
