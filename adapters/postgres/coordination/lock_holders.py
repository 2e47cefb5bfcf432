"""Who holds how many turns: read from the server's own list of advisory locks."""

import asyncio
from collections.abc import Mapping

import psycopg

ANSWER_WITHIN_S = 5.0
_HELD_BY = """
SELECT split_part(a.application_name, '/', 2), count(*) FILTER (WHERE l.granted)
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
WHERE l.locktype = 'advisory' AND a.datname = current_database() AND starts_with(a.application_name, %s)
    AND a.application_name LIKE '%%/%%'
GROUP BY 1
"""


class PostgresLockHolders:
    """Of the turns whose names begin with `prefix`, taken by PostgresExclusiveLock with a `holder` each."""

    def __init__(self, dsn: str, prefix: str) -> None:
        self._dsn = dsn
        self._prefix = prefix

    async def held_by(self) -> Mapping[str, int]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._counted()
        except (psycopg.OperationalError, TimeoutError) as error:
            raise ConnectionError(f"PostgreSQL does not say who holds what: {error}") from error

    async def _counted(self) -> Mapping[str, int]:
        connecting = psycopg.AsyncConnection.connect(self._dsn, autocommit=True, connect_timeout=5)
        async with await connecting as connection:
            cursor = await connection.execute(_HELD_BY, (f"turn {self._prefix}",))
            return {str(holder): int(count) for holder, count in await cursor.fetchall()}
