"""Heartbeats in PostgreSQL. All times are those of the database's clock."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.coordination.session_locks import lock_key
from application.ports.operations.heartbeats import (
    ConnectionRoom,
    ConnectionUse,
    Heartbeat,
    Process,
    is_running,
)

_BEAT = """
INSERT INTO gridproof.process_heartbeats (worker, host, pid, backends, dependencies) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (worker, host, pid) DO UPDATE
    SET seen_at = clock_timestamp(), backends = excluded.backends, dependencies = excluded.dependencies
"""
_END = "DELETE FROM gridproof.process_heartbeats WHERE (worker, host, pid) = (%s, %s, %s)"
_LIST = """
SELECT worker, host, pid, extract(epoch FROM clock_timestamp() - seen_at)::float8, backends, dependencies
FROM gridproof.process_heartbeats ORDER BY worker, host, pid
"""
_FORGET = """
DELETE FROM gridproof.process_heartbeats
WHERE seen_at < clock_timestamp() - make_interval(secs => %s) OR seen_at > clock_timestamp() + interval '1 minute'
"""
_LOCKS = """
SELECT pid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = ANY(%s) GROUP BY pid
"""
# PostgreSQL shows of a session of another role little more than whose it is.
_USE = """
SELECT count(*) FILTER (WHERE usesysid IS NOT NULL),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0)
FROM pg_stat_activity
"""
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(%s)"
ADMISSION = "connection-budget"
ANSWERS_WITHIN_S = 5.0
_BRIEFLY = f"SET LOCAL lock_timeout = '{ANSWERS_WITHIN_S:g}s';"
"""One that holds the lock may have vanished: it is asked for again."""
_OTHERS = """
SELECT worker, extract(epoch FROM clock_timestamp() - seen_at)::float8,
    EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY(backends) AND datname = current_database())
FROM gridproof.process_heartbeats WHERE (worker, host, pid) <> (%s, %s, %s)
"""


class PostgresHeartbeats:
    """`pool` connects as the application's role, or as that of any worker."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def beat(
        self, process: Process, *, backends: Collection[int], dependencies: Mapping[str, str | None]
    ) -> None:
        with transaction(self._pool) as connection:
            connection.execute(_BEAT, (*process, sorted(backends), Jsonb(dict(dependencies))))

    def admit(
        self, process: Process, *, backends: Collection[int], budget_of: Callable[[str], int], reserved: int
    ) -> ConnectionRoom:
        with transaction(self._pool, begin_with=_BRIEFLY, within_s=ANSWERS_WITHIN_S) as connection:
            connection.execute(_ONE_AT_A_TIME, (lock_key(ADMISSION),))
            others = connection.execute(_OTHERS, tuple(process)).fetchall()
            [use] = connection.execute(_USE).fetchall()
            running = [worker for worker, age_s, has in others if is_running(age_s, has_sessions=has)]
            room = ConnectionRoom(
                taken=sum(map(budget_of, running)),
                wanted=budget_of(process.worker),
                most=ConnectionUse(*use).most - reserved,
            )
            if room.fits:
                connection.execute(_BEAT, (*process, sorted(backends), Jsonb({})))
        return room

    def end(self, process: Process) -> None:
        with transaction(self._pool) as connection:
            connection.execute(_END, tuple(process))

    def listed(self) -> list[Heartbeat]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_LIST).fetchall()
        return [
            Heartbeat(
                process=Process(worker, host, pid),
                age_s=age_s,
                backends=tuple(backends),
                dependencies=dependencies,
            )
            for worker, host, pid, age_s, backends, dependencies in rows
        ]

    def forget(self, *, older_than_s: float) -> None:
        with transaction(self._pool) as connection:
            connection.execute(_FORGET, (older_than_s,))

    def locks_held(self, backends: Collection[int]) -> Mapping[int, int]:
        with transaction(self._pool) as connection:
            return dict(connection.execute(_LOCKS, (list(backends),)).fetchall())

    def connection_use(self) -> ConnectionUse:
        with transaction(self._pool) as connection:
            [row] = connection.execute(_USE).fetchall()
        return ConnectionUse(*row)
