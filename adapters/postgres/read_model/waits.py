"""Wait for a projection to reach a position. Projectors announce their positions after each commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from adapters.postgres.connection.session import CONNECT_WITHIN_S, open_session
from adapters.postgres.read_model.view import ERRORS
from projections.engine.waits import ReadModelBehind

Connection = psycopg.Connection[tuple[Any, ...]]

CHANNEL = "projection_positions"
_ANNOUNCE = "SELECT pg_notify(%s, %s)"
READ_EVERY_S = 1.0
"""A notification may be lost with the process that was to send it."""
ANSWER_WITHIN_S = 2 * READ_EVERY_S
"""A session that is silent for longer is replaced: all waits of the process share it."""
_READ = "SELECT name, position FROM gridproof.projection_positions"


def announce(connection: Connection, projection: str, position: int) -> None:
    """Notify in a separate transaction that does not wait for the disk, because NOTIFY holds a lock that
    saves need too."""
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute(_ANNOUNCE, (CHANNEL, f"{projection} {position}"))


class _SharedSession:
    """The positions that one session has seen. One of the waiting threads reads them, for all."""

    def __init__(self) -> None:
        self.reached: dict[str, int] = {}
        self.reads = 0
        """How many have ended."""
        self.waiting = 0
        self.is_being_read = False
        self.error: psycopg.Error | None = None
        self.connection: Connection | None = None

    def read(self, dsn: str, within_s: float) -> dict[str, int]:
        """The next positions: all of them at first and every second, otherwise the announced one."""
        if self.connection is None:
            connection = open_session(dsn, "gridproof waits")
            connection.answer_within_s = ANSWER_WITHIN_S
            try:
                connection.execute(f"LISTEN {CHANNEL}")  # before the positions are read, to miss nothing
                positions = _positions(connection)
            except BaseException:
                connection.close()
                raise
            self.connection = connection
            return positions
        for notify in self.connection.notifies(timeout=min(max(within_s, 0.001), READ_EVERY_S), stop_after=1):
            name, _, position = notify.payload.partition(" ")
            return {name: int(position)}
        return _positions(self.connection)


class PostgresProjectionWaits:
    """All waits of a process share one session, which is open while somebody waits."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._changed = threading.Condition()
        self._shared: _SharedSession | None = None

    def wait_for(self, projection: str, position: int, *, timeout_s: float) -> int:
        deadline = time.monotonic() + timeout_s
        with ERRORS.translated(), self._joined() as shared:
            while True:
                reads = shared.reads
                if (reached := shared.reached.get(projection, 0)) >= position:
                    return reached
                first_read_s = CONNECT_WITHIN_S if shared.connection is None else 0.0
                if time.monotonic() >= deadline + first_read_s:
                    raise ReadModelBehind(
                        f"{projection} is at {reached}, not yet at {position}, after {timeout_s:g} s; "
                        "try again, or see `gridproof projections list`"
                    )
                self._read_or_wait(shared, reads, deadline)

    @contextmanager
    def _joined(self) -> Iterator[_SharedSession]:
        with self._changed:
            shared = self._shared = self._shared or _SharedSession()
            shared.waiting += 1
        try:
            yield shared
        finally:
            with self._changed:
                shared.waiting -= 1
                if not shared.waiting:
                    self._leave(shared)

    def _read_or_wait(self, shared: _SharedSession, reads: int, deadline: float) -> None:
        """Read the next positions, or wait until another thread has: more than `reads` have ended. Raises
        psycopg.Error."""
        with self._changed:
            if shared.error is not None:
                raise psycopg.OperationalError(str(shared.error))
            if shared.reads != reads:
                return
            if shared.is_being_read:
                self._changed.wait(max(deadline - time.monotonic(), 0.01))
                return
            shared.is_being_read = True
        positions: dict[str, int] = {}
        try:
            positions = shared.read(self._dsn, deadline - time.monotonic())
        except psycopg.Error as error:
            shared.error = error
            raise
        finally:
            with self._changed:
                shared.reached |= positions
                shared.reads += 1
                shared.is_being_read = False
                if shared.error is not None and self._shared is shared:
                    self._shared = None  # whoever comes next opens another one
                self._changed.notify_all()

    def _leave(self, shared: _SharedSession) -> None:
        if self._shared is shared:
            self._shared = None
        if shared.connection is not None:
            with suppress(psycopg.Error):
                shared.connection.close()


def _positions(connection: Connection) -> dict[str, int]:
    return {str(name): int(position) for name, position in connection.execute(_READ)}
