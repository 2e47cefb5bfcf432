"""State of the running system, as PostgreSQL shows it: rebuilds, connected processes and held locks."""

from collections.abc import Collection, Mapping
from datetime import UTC
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.coordination.session_locks import lock_key
from application.ports.operations.system_state import Rebuild

# A finished part stands at the end. The whole rebuild is as far as its slowest part.
_REBUILDS = """
SELECT name, (SELECT min(part) FROM unnest(positions) AS part), up_to, domain_events, rows, started_at
FROM gridproof.projection_rebuilds ORDER BY name
"""
_SESSIONS = """
SELECT application_name, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name <> '' GROUP BY 1
"""
# PostgreSQL shows a lock with one 64-bit key as two halves.
_HELD = """
SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) | objid::bigint = ANY(%s)
"""


class PostgresSystemState:
    """`pool` connects as any role. The sessions are those of this database: workers have roles of their own."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def rebuilds(self) -> list[Rebuild]:
        with transaction(self._pool) as connection:
            rebuilds = connection.execute(_REBUILDS).fetchall()
        return [
            Rebuild(
                name=name,
                position=position or 0,
                up_to=up_to,
                domain_events=domain_events,
                rows=rows,
                started_at=started_at.astimezone(UTC),
            )
            for name, position, up_to, domain_events, rows, started_at in rebuilds
        ]

    def sessions(self) -> Mapping[str, int]:
        with transaction(self._pool) as connection:
            return dict(connection.execute(_SESSIONS).fetchall())

    def held(self, locks: Collection[str]) -> frozenset[str]:
        names = {lock_key(name): name for name in locks}
        with transaction(self._pool) as connection:
            rows = connection.execute(_HELD, (list(names),)).fetchall()
        return frozenset(names[key] for (key,) in rows)
