"""Amounts that are stored for each utility in a day, in PostgreSQL."""

from datetime import date
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.ports.access.daily_usage import UsageKind

_FORGET = "DELETE FROM gridproof.daily_usage WHERE utility_id = %s AND kind = %s AND day < %s"
_ADD = """
INSERT INTO gridproof.daily_usage AS u (utility_id, kind, day, used)
SELECT %(utility_id)s, %(kind)s, %(day)s, %(amount)s WHERE %(amount)s::bigint <= %(most)s::bigint
ON CONFLICT (utility_id, kind, day) DO UPDATE SET used = u.used + excluded.used
WHERE u.used + excluded.used <= %(most)s::bigint
"""


class PostgresDailyUsage:
    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def add(self, utility_id: str, kind: UsageKind, amount: int, *, day: date, most: int) -> bool:
        given = {"utility_id": utility_id, "kind": kind, "day": day, "amount": amount, "most": most}
        with transaction(self._pool) as connection:
            connection.execute(_FORGET, (utility_id, kind, day))
            return connection.execute(_ADD, given).rowcount > 0
