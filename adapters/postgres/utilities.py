"""Utilities in PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.operations.connection import operations_connection, storable
from application.facility.portfolio_entries import UtilityEntry

_COLUMNS = "utility_id, name, webhook_secret_ref, callback_secret_ref, webhook_v1_until"
_UPSERT = f"""
INSERT INTO gridproof.utilities AS known ({_COLUMNS}, changed_at) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (utility_id) DO UPDATE
    SET name = excluded.name, webhook_secret_ref = excluded.webhook_secret_ref,
        callback_secret_ref = excluded.callback_secret_ref, changed_at = excluded.changed_at,
        webhook_v1_until = coalesce(excluded.webhook_v1_until, known.webhook_v1_until)
    WHERE (known.name, known.webhook_secret_ref, known.callback_secret_ref, known.webhook_v1_until)
        IS DISTINCT FROM (excluded.name, excluded.webhook_secret_ref, excluded.callback_secret_ref,
            coalesce(excluded.webhook_v1_until, known.webhook_v1_until))
"""  # noqa: S608 - our own column names
_FIND = f"SELECT {_COLUMNS} FROM gridproof.utilities WHERE utility_id = %s"  # noqa: S608 - our own column names
_LIST = f"SELECT {_COLUMNS} FROM gridproof.utilities ORDER BY utility_id"  # noqa: S608 - our own column names


class PostgresUtilities:
    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def keep(self, entry: UtilityEntry, *, at: datetime) -> bool:
        texts = (entry.utility_id, storable(entry.name), entry.webhook_secret_ref, entry.callback_secret_ref)
        with operations_connection(self._pool) as connection:
            return connection.execute(_UPSERT, (*texts, entry.webhook_v1_until, at)).rowcount > 0

    def find(self, utility_id: str) -> UtilityEntry | None:
        with operations_connection(self._pool) as connection:
            row = connection.execute(_FIND, (utility_id,)).fetchone()
        return _entry(row) if row else None

    def listed(self) -> list[UtilityEntry]:
        with operations_connection(self._pool) as connection:
            return [_entry(row) for row in connection.execute(_LIST)]


def _entry(row: Any) -> UtilityEntry:
    utility_id, name, webhook_secret_ref, callback_secret_ref, webhook_v1_until = row
    return UtilityEntry(
        utility_id=utility_id,
        name=name,
        webhook_secret_ref=webhook_secret_ref,
        callback_secret_ref=callback_secret_ref,
        webhook_v1_until=None if webhook_v1_until is None else webhook_v1_until.astimezone(UTC),
    )
