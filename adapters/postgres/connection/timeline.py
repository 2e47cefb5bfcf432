"""Fencing by PostgreSQL's timelines: which server this process may work with (ADR 0102).

A promotion and a restore to a point in time begin a new timeline of the same cluster, with a higher number. A server
that is still on a lower one was replaced: an old primary that came back, or a standby that still follows it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg import generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

_log = structlog.get_logger("postgresql")

# The first eight hexadecimal digits of a WAL file name are its timeline. They are correct from the promotion on;
# pg_control_checkpoint() shows the new timeline only after a checkpoint.
TIMELINE = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"
_SERVER = (
    b"SELECT system_identifier, CASE WHEN NOT pg_is_in_recovery() THEN "
    + TIMELINE.encode()
    + b" END FROM pg_control_system();"
    b"SELECT cluster, timeline FROM gridproof.log_timelines ORDER BY number DESC LIMIT 1"
)
_NO_RECORD = ("42P01", "42501")
"""SQLSTATE of a database without the table, or of a role that may not read it."""


class AnswerTimeout(psycopg.OperationalError):
    """The server sent nothing before the deadline."""


class OlderTimeline(psycopg.OperationalError):
    """The server was replaced by a promotion or a restore: nothing is read from it or written to it."""


class UnknownCluster(psycopg.OperationalError):
    """The log was written by another cluster, and nobody has said yet that this one continues it."""


class Timeline(NamedTuple):
    """A timeline of a cluster. Timelines of one cluster are ordered, those of two are not."""

    cluster: int
    """The system identifier: initdb makes it, copies and standbys have the same."""
    number: int


class ServerState(NamedTuple):
    """The state that a server reports when a session is opened."""

    cluster: int
    timeline: int | None
    """None: a standby, which writes no WAL of its own."""
    recorded: Timeline | None
    """The newest row of its table; None: there is none."""

    def reached(self) -> Timeline | None:
        """The timeline that the server's data have reached; None: a standby that records none. A standby has replayed
        something of the timeline that it records, and perhaps of a higher one."""
        return self.recorded if self.timeline is None else Timeline(self.cluster, self.timeline)


def refusal(server: ServerState, known: int | None, address: str) -> psycopg.OperationalError | None:
    """Why this process does not work with a server. `known`: the highest timeline of its cluster that it has seen on a
    primary."""
    recorded, reached = server.recorded, server.reached()
    if recorded is not None and recorded.cluster != server.cluster:
        return UnknownCluster(
            f"the log at {address} was written by the cluster {recorded.cluster}, and this is the cluster "
            f"{server.cluster}. If it continues that log (a loaded dump, pg_upgrade), stop the other one, then say so: "
            f"`gridproof migrate --accept-cluster {server.cluster}`"
        )
    highest = max(known or 0, 0 if recorded is None else recorded.number)
    if reached is None or reached.number >= highest:
        return None
    what = "a standby that has only reached" if server.timeline is None else "on"
    return OlderTimeline(
        f"PostgreSQL at {address} is {what} timeline {reached.number}, and timeline {highest} of its cluster has begun:"
        " it was replaced, and is not used. Stop it, and make it a standby again (docs/runbooks/older_timeline.md)"
    )


class TimelineFence:
    """The highest timeline that this process has seen on a primary, for each cluster. Safe for use by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._highest: dict[int, int] = {}
        self._reported: set[str] = set()
        self.changes = 0
        """Grows when a timeline is seen that is higher than before: sessions are judged again then."""

    def admit(self, server: ServerState, address: str) -> Timeline | None:
        """The timeline that the server has reached. Raises OlderTimeline or UnknownCluster."""
        with self._lock:
            refused = refusal(server, self._highest.get(server.cluster), address)
            if refused is None:
                self._see(server)
                return server.reached()
            is_new = str(refused) not in self._reported
            self._reported.add(str(refused))
        if is_new:
            _log.error("a server of PostgreSQL is refused", error=type(refused).__name__, why=str(refused))
        raise refused

    def see(self, server: ServerState) -> None:
        """Note the timeline of a primary that is not worked with."""
        with self._lock:
            self._see(server)

    def _see(self, server: ServerState) -> None:
        if server.timeline is not None and server.timeline > self._highest.get(server.cluster, 0):
            self._highest[server.cluster] = server.timeline
            self.changes += 1

    def is_current(self, reached: Timeline | None) -> bool:
        return reached is None or reached.number >= self._highest.get(reached.cluster, 0)


FENCE = TimelineFence()
"""Of this process."""


def read_server(pgconn: PGconn, give_up_at: float) -> Generator[Any, Any, ServerState]:
    """Ask a new connection for its server's state, in one round trip. Yields as psycopg's connecting generators do.

    `give_up_at`: on the monotonic clock. Raises AnswerTimeout.
    """
    pgconn.send_query(_SERVER)
    results = yield from _on_socket(generators.execute(pgconn), pgconn.socket, give_up_at)
    server, newest = results[0], results[-1]
    if server.status != ExecStatus.TUPLES_OK:
        raise error_from_result(server)
    recorded = None
    if newest.status == ExecStatus.TUPLES_OK:
        recorded = Timeline(_number(newest, 0), _number(newest, 1)) if newest.ntuples else None
    elif (error := error_from_result(newest)).sqlstate not in _NO_RECORD:
        raise error
    is_primary = server.get_value(0, 1) is not None
    return ServerState(_number(server, 0), _number(server, 1) if is_primary else None, recorded)


def _on_socket(
    waits: Generator[Any, Any, list[PGresult]], socket: int, give_up_at: float
) -> Generator[Any, Any, list[PGresult]]:
    """A generator that connects names the socket with each wait; one that executes does not."""
    try:
        awaited = next(waits)
        while True:
            ready = yield socket, awaited
            if not ready and time.monotonic() > give_up_at:
                raise AnswerTimeout("the server did not say which timeline it is on")
            awaited = waits.send(ready)
    except StopIteration as ended:
        results: list[PGresult] = ended.value
        return results


def _number(result: PGresult, column: int) -> int:
    return int(result.get_value(0, column) or b"")
