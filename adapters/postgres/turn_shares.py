"""Who holds how many turns: read from the server's own list of advisory locks."""

from collections.abc import Mapping

import psycopg

_HELD_BY = """
SELECT split_part(a.application_name, '/', 2), count(*) FILTER (WHERE l.granted)
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
WHERE l.locktype = 'advisory' AND a.datname = current_database() AND starts_with(a.application_name, %s)
    AND a.application_name LIKE '%%/%%'
GROUP BY 1
"""


class PostgresTurnShares:
    """Of the turns whose names begin with `prefix`, taken by PostgresExclusiveTurn with a `holder` each."""

    def __init__(self, dsn: str, prefix: str) -> None:
        self._dsn = dsn
        self._prefix = prefix

    async def held_by(self) -> Mapping[str, int]:
        try:
            async with await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=5
            ) as connection:
                cursor = await connection.execute(_HELD_BY, (f"turn {self._prefix}",))
                return {str(holder): int(count) for holder, count in await cursor.fetchall()}
        except psycopg.OperationalError as error:
            raise ConnectionError(f"PostgreSQL does not say who holds what: {error}") from error
