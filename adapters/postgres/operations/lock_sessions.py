"""The database sessions that hold advisory locks."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.coordination.session_locks import lock_key

# A projection makes the key of its lock in PostgreSQL, every other holder with `lock_key`. The holder's name is its pid
# alone: PostgreSQL does not show when a session of another role began, and workers have roles of their own.
_HOLDERS = """
SELECT wanted.name, locks.pid::text
FROM unnest(%s::text[], %s::bigint[]) AS wanted (name, key)
JOIN pg_locks AS locks ON locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
    AND (locks.classid::bigint << 32 | locks.objid::bigint) IN (wanted.key, hashtextextended(wanted.name, 0))
WHERE locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class PostgresLockSessions:
    """LockSessions. `pool` connects as any role; a holder may be of another one."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def holders(self, names: Sequence[str]) -> Mapping[str, str]:
        with transaction(self._pool) as connection:
            return dict(
                connection.execute(_HOLDERS, (list(names), [lock_key(name) for name in names])).fetchall()
            )
