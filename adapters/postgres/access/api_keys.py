"""API keys in PostgreSQL."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.errors import translate_errors
from adapters.postgres.connection.pool import autocommit_connection
from application.ports.access.api_keys import (
    ApiKey,
    ApiKeyNotFound,
    ApiKeysUnavailable,
    ApiKeyTaken,
    StoredApiKey,
)

_ADD = """
INSERT INTO gridproof.api_keys (key_id, role, utility_id, facility_id, created_at, revoked_at, secret_hash)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key_id) DO NOTHING
"""
_FIND = """
SELECT key_id, role, utility_id, facility_id, created_at, revoked_at, secret_hash
FROM gridproof.api_keys WHERE key_id = ANY(%s)
"""
_LIST = """
SELECT key_id, role, utility_id, facility_id, created_at, revoked_at
FROM gridproof.api_keys ORDER BY created_at, key_id
"""
_REVOKE = """
UPDATE gridproof.api_keys SET revoked_at = coalesce(revoked_at, %s) WHERE key_id = %s
RETURNING key_id, role, utility_id, facility_id, created_at, revoked_at
"""


class PostgresApiKeys:
    """`pool` connects as the application's role, which can add and revoke keys but not change or delete one."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def add(self, stored: StoredApiKey) -> None:
        key = stored.api_key
        row = (key.key_id, key.role, key.utility_id, key.facility_id, key.created_at, key.revoked_at)
        with self._connection() as connection:
            added = connection.execute(_ADD, (*row, stored.secret_hash)).rowcount
        if not added:
            raise ApiKeyTaken(f"an API key {key.key_id} is there already; draw another id")

    def find(self, key_id: str) -> StoredApiKey | None:
        return self.among([key_id]).get(key_id)

    def among(self, key_ids: Collection[str]) -> dict[str, StoredApiKey]:
        with (
            translate_errors(ApiKeysUnavailable, "the store of API keys"),
            autocommit_connection(self._pool) as connection,
        ):
            rows = connection.execute(_FIND, (list(key_ids),)).fetchall()
        return {row[0]: StoredApiKey(api_key=_api_key(row), secret_hash=bytes(row[-1])) for row in rows}

    def listed(self) -> list[ApiKey]:
        with self._connection() as connection:
            return [_api_key(row) for row in connection.execute(_LIST)]

    def revoke(self, key_id: str, *, at: datetime) -> ApiKey:
        with self._connection() as connection:
            row = connection.execute(_REVOKE, (at, key_id)).fetchone()
        if row is None:
            raise ApiKeyNotFound(f"no API key {key_id}; list them with `gridproof keys list`")
        return _api_key(row)

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        with (
            translate_errors(ApiKeysUnavailable, "the store of API keys"),
            self._pool.connection() as connection,
        ):
            yield connection


def _api_key(row: Any) -> ApiKey:
    key_id, role, utility_id, facility_id, created_at, revoked_at = row[:6]
    return ApiKey(
        key_id=key_id,
        role=role,
        utility_id=utility_id,
        facility_id=facility_id,
        created_at=created_at.astimezone(UTC),
        revoked_at=revoked_at and revoked_at.astimezone(UTC),
    )
