"""Sessions in PostgreSQL, timed by its clock, so that every web process sees the same ones."""

from collections.abc import Collection
from datetime import UTC
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, autocommit_connection, transaction
from application.access.sessions import MAX_SESSIONS_PER_KEY
from application.ports.access.api_keys import ApiKeysUnavailable
from application.ports.access.sessions import Session

_ERRORS = PortErrors(ApiKeysUnavailable, "the store of sessions")
_DELETE_ENDED = "DELETE FROM gridproof.sessions WHERE expires_at <= now()"
_DELETE_OLDEST = """
DELETE FROM gridproof.sessions WHERE token_hash IN (
    SELECT token_hash FROM gridproof.sessions WHERE key_id = %s
    ORDER BY expires_at DESC, token_hash OFFSET %s
)
"""
_BEGIN = """
INSERT INTO gridproof.sessions (token_hash, key_id, expires_at) VALUES (%s, %s, now() + make_interval(secs => %s))
RETURNING key_id, expires_at, extract(epoch FROM expires_at - now())
"""
_AMONG = """
SELECT key_id, expires_at, extract(epoch FROM expires_at - now()), token_hash
FROM gridproof.sessions WHERE token_hash = ANY(%s) AND expires_at > now()
"""
_END = "DELETE FROM gridproof.sessions WHERE token_hash = %s"


class PostgresSessions:
    """`pool` connects as the application's role, which can begin and end sessions but not extend one."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def begin(self, token_hash: bytes, key_id: str, *, lasts_s: float) -> Session:
        with transaction(self._pool, _ERRORS) as connection:
            connection.execute(_DELETE_ENDED)
            connection.execute(_DELETE_OLDEST, (key_id, MAX_SESSIONS_PER_KEY - 1))
            return _session(connection.execute(_BEGIN, (token_hash, key_id, lasts_s)).fetchone())

    def among(self, token_hashes: Collection[bytes]) -> dict[bytes, Session]:
        with autocommit_connection(self._pool, _ERRORS) as connection:
            rows = connection.execute(_AMONG, (list(token_hashes),)).fetchall()
        return {bytes(row[-1]): _session(row[:-1]) for row in rows}

    def end(self, token_hash: bytes) -> None:
        with transaction(self._pool, _ERRORS) as connection:
            connection.execute(_END, (token_hash,))


def _session(row: Any) -> Session:
    key_id, expires_at, lasts_s = row
    return Session(key_id=key_id, expires_at=expires_at.astimezone(UTC), lasts_s=float(lasts_s))
