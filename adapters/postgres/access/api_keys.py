"""API keys in PostgreSQL."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, autocommit_connection, transaction
from adapters.postgres.event_store.acts import WallTime, append_acts
from application.ports.access.api_keys import (
    ApiKey,
    ApiKeyNotFound,
    ApiKeyNotValid,
    ApiKeysUnavailable,
    ApiKeyTaken,
    KeyIssueNotAllowed,
    StoredApiKey,
)
from domain.administration import AdministrativeAct

_ERRORS = PortErrors(ApiKeysUnavailable, "the store of API keys")
_NOT_FOUND = "no API key {}; list them with `gridproof keys list`"

_COLUMNS = (
    "key_id, role, utility_id, facility_id, created_at, revoked_at, name, expires_at, replaces, last_used_at"
)
_ADD = """
INSERT INTO gridproof.api_keys
    (key_id, role, utility_id, facility_id, created_at, revoked_at, name, expires_at, replaces, secret_hash)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key_id) DO NOTHING
"""
_FIND = f"SELECT {_COLUMNS}, secret_hash FROM gridproof.api_keys WHERE key_id = ANY(%s)"  # noqa: S608 - our own names
_LIST = f"""
SELECT {_COLUMNS} FROM gridproof.api_keys
WHERE %(at)s::timestamptz IS NULL OR (created_at, key_id) > (%(at)s, %(id)s)
ORDER BY created_at, key_id LIMIT %(limit)s
"""  # noqa: S608 - our own names
# Compared here too: the key may have been revoked, or given an earlier end, since it was read.
_EXPIRE = """
UPDATE gridproof.api_keys SET expires_at = %(until)s
WHERE key_id = %(key_id)s AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > %(at)s AND expires_at >= %(until)s)
"""
_REVOKE = f"""
UPDATE gridproof.api_keys SET revoked_at = %s WHERE key_id = %s AND revoked_at IS NULL RETURNING {_COLUMNS}
"""  # noqa: S608 - our own names
_NOTE_USE = """
UPDATE gridproof.api_keys SET last_used_at = %(at)s
WHERE key_id = %(key_id)s AND (last_used_at IS NULL OR last_used_at < %(at)s - interval '1 hour')
"""
_FORGET = "UPDATE gridproof.api_keys SET name = NULL WHERE key_id = %s"


class PostgresApiKeys:
    """`pool` connects as the application's role. It can add and end keys and set their name and last use, but change
    nothing else of one, and delete none."""

    def __init__(self, pool: ConnectionPool[Any], wall_time: WallTime = None) -> None:
        self._pool = pool
        self._wall_time = wall_time

    def add(self, stored: StoredApiKey, act: AdministrativeAct) -> None:
        with transaction(self._pool, _ERRORS) as connection:
            _add(connection, stored)
            append_acts(connection, [act], self._wall_time)

    def rotate(
        self, key_id: str, successor: StoredApiKey, *, until: datetime, acts: Sequence[AdministrativeAct]
    ) -> None:
        at = successor.api_key.created_at
        with transaction(self._pool, _ERRORS) as connection:
            if connection.execute(_EXPIRE, {"until": until, "key_id": key_id, "at": at}).rowcount:
                _add(connection, successor)
                append_acts(connection, acts, self._wall_time)
                return
        if self.find(key_id) is None:
            raise ApiKeyNotFound(_NOT_FOUND.format(key_id))
        raise ApiKeyNotValid(
            f"API key {key_id} was revoked, rotated or has expired meanwhile; see `gridproof keys list`"
        )

    def find(self, key_id: str) -> StoredApiKey | None:
        return self.among([key_id]).get(key_id)

    def among(self, key_ids: Collection[str]) -> dict[str, StoredApiKey]:
        with autocommit_connection(self._pool, _ERRORS) as connection:
            rows = connection.execute(_FIND, (list(key_ids),)).fetchall()
        return {row[0]: StoredApiKey(api_key=_api_key(row), secret_hash=bytes(row[-1])) for row in rows}

    def listed(self, *, after: tuple[datetime, str] | None = None, limit: int | None = None) -> list[ApiKey]:
        at, key_id = after or (None, "")
        with transaction(self._pool, _ERRORS) as connection:
            rows = connection.execute(_LIST, {"at": at, "id": key_id, "limit": limit})
            return [_api_key(row) for row in rows]

    def revoke(self, key_id: str, *, at: datetime, act: AdministrativeAct) -> ApiKey:
        with transaction(self._pool, _ERRORS) as connection:
            row = connection.execute(_REVOKE, (at, key_id)).fetchone()
            if row is not None:
                append_acts(connection, [act], self._wall_time)
                return _api_key(row)
        found = self.find(key_id)
        if found is None:
            raise ApiKeyNotFound(_NOT_FOUND.format(key_id))
        return found.api_key

    def note_use(self, key_id: str, *, at: datetime) -> None:
        with transaction(self._pool, _ERRORS) as connection:
            connection.execute(_NOTE_USE, {"key_id": key_id, "at": at})

    def forget_name(self, key_id: str) -> None:
        with transaction(self._pool, _ERRORS) as connection:
            if not connection.execute(_FORGET, (key_id,)).rowcount:
                raise ApiKeyNotFound(_NOT_FOUND.format(key_id))


def _add(connection: psycopg.Connection[Any], stored: StoredApiKey) -> None:
    key = stored.api_key
    row = (key.key_id, key.role, key.utility_id, key.facility_id, key.created_at, key.revoked_at)
    parameters = (*row, key.name, key.expires_at, key.replaces, stored.secret_hash)
    try:
        added = connection.execute(_ADD, parameters).rowcount
    except psycopg.errors.InsufficientPrivilege:
        raise KeyIssueNotAllowed(
            "the database role of this process makes no keys; use `gridproof keys create` or `keys rotate` on the "
            "machine, or give the web process the role gridproof_web (docs/guides/production.md)"
        ) from None
    if not added:
        raise ApiKeyTaken(f"an API key {key.key_id} is there already; draw another id")


def _api_key(row: Any) -> ApiKey:
    key_id, role, utility_id, facility_id, created_at, revoked_at, name, expires_at, replaces, used_at = row[
        :10
    ]
    return ApiKey(
        key_id=key_id,
        role=role,
        utility_id=utility_id,
        facility_id=facility_id,
        created_at=created_at.astimezone(UTC),
        revoked_at=revoked_at and revoked_at.astimezone(UTC),
        name=name,
        expires_at=expires_at and expires_at.astimezone(UTC),
        replaces=replaces,
        last_used_at=used_at and used_at.astimezone(UTC),
    )
