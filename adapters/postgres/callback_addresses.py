"""Callback addresses in PostgreSQL."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.event_store.acts import WallTime, append_acts
from domain.administration import AdministrativeAct

_ID_OF = "SELECT address_id FROM gridproof.callback_addresses WHERE utility_id = %s AND digest = %s"
_ADD = """
INSERT INTO gridproof.callback_addresses (address_id, utility_id, digest, url) VALUES (%s, %s, %s, %s)
ON CONFLICT (utility_id, digest) DO NOTHING
"""
_URL_OF = "SELECT url FROM gridproof.callback_addresses WHERE address_id = %s"
_FORGET = "DELETE FROM gridproof.callback_addresses WHERE utility_id = %s"


class PostgresCallbackAddresses:
    """`pool` connects as the application's role."""

    def __init__(self, pool: ConnectionPool[Any], wall_time: WallTime = None) -> None:
        self._pool = pool
        self._wall_time = wall_time

    def id_of(self, utility_id: str, url: str) -> UUID | None:
        with transaction(self._pool) as connection:
            row = connection.execute(_ID_OF, (utility_id, _digest(url))).fetchone()
        return None if row is None else row[0]

    def add(self, utility_id: str, url: str, *, drawn: UUID) -> UUID:
        with transaction(self._pool) as connection:
            connection.execute(_ADD, (drawn, utility_id, _digest(url), url))
            row = connection.execute(_ID_OF, (utility_id, _digest(url))).fetchone()
        return drawn if row is None else row[0]

    def url_of(self, address_id: UUID) -> str | None:
        with transaction(self._pool) as connection:
            row = connection.execute(_URL_OF, (address_id,)).fetchone()
        return None if row is None else str(row[0])

    def forget(self, utility_id: str, act_of: Callable[[int], AdministrativeAct]) -> int:
        with transaction(self._pool) as connection:
            count = connection.execute(_FORGET, (utility_id,)).rowcount
            if count:
                append_acts(connection, [act_of(count)], self._wall_time)
        return count


def _digest(url: str) -> bytes:
    return sha256(url.encode()).digest()
