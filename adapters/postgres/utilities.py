"""Utilities in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.event_store.acts import WallTime, append_acts
from adapters.postgres.wire_format.text import storable
from application.facility.portfolio_entries import UtilityEntry
from domain.administration import AdministrativeAct

_COLUMNS = "utility_id, name, webhook_secret_ref, callback_secret_ref"
_UPSERT = f"""
INSERT INTO gridproof.utilities AS known ({_COLUMNS}, changed_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (utility_id) DO UPDATE
    SET name = excluded.name, webhook_secret_ref = excluded.webhook_secret_ref,
        callback_secret_ref = excluded.callback_secret_ref, changed_at = excluded.changed_at
    WHERE (known.name, known.webhook_secret_ref, known.callback_secret_ref)
        IS DISTINCT FROM (excluded.name, excluded.webhook_secret_ref, excluded.callback_secret_ref)
"""  # noqa: S608 - our own column names
_FIND = f"SELECT {_COLUMNS} FROM gridproof.utilities WHERE utility_id = %s"  # noqa: S608 - our own column names
_LIST = f"""
SELECT {_COLUMNS} FROM gridproof.utilities WHERE utility_id > %s ORDER BY utility_id LIMIT %s
"""  # noqa: S608 - our own column names


class PostgresUtilities:
    def __init__(self, pool: ConnectionPool[Any], wall_time: WallTime = None) -> None:
        self._pool = pool
        self._wall_time = wall_time

    def keep(self, entries: Sequence[UtilityEntry], *, at: datetime, act: AdministrativeAct) -> int:
        changed = 0
        with transaction(self._pool) as connection:
            for entry in sorted(entries, key=lambda entry: entry.utility_id):  # one order, against deadlocks
                references = (entry.webhook_secret_ref, entry.callback_secret_ref)
                row = (entry.utility_id, storable(entry.name), *references, at)
                changed += connection.execute(_UPSERT, row).rowcount
            append_acts(connection, [act], self._wall_time)
        return changed

    def find(self, utility_id: str) -> UtilityEntry | None:
        with transaction(self._pool) as connection:
            row = connection.execute(_FIND, (utility_id,)).fetchone()
        return _entry(row) if row else None

    def listed(self, *, after: str = "", limit: int | None = None) -> list[UtilityEntry]:
        with transaction(self._pool) as connection:
            return [_entry(row) for row in connection.execute(_LIST, (after, limit))]


def _entry(row: Any) -> UtilityEntry:
    utility_id, name, webhook_secret_ref, callback_secret_ref = row
    return UtilityEntry(
        utility_id=utility_id,
        name=name,
        webhook_secret_ref=webhook_secret_ref,
        callback_secret_ref=callback_secret_ref,
    )
