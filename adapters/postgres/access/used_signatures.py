"""Used signatures in PostgreSQL, by its clock."""

import time
from collections.abc import Callable
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.ports.access.used_signatures import KEPT_S

PRUNE_EVERY_S = 60.0
_CLAIM = """
INSERT INTO gridproof.used_signatures AS used (utility_id, signature, request) VALUES (%s, %s, %s)
ON CONFLICT (utility_id, signature) DO UPDATE SET used_at = used.used_at
RETURNING request
"""
_PRUNE = "DELETE FROM gridproof.used_signatures WHERE used_at < now() - make_interval(secs => %s)"


class PostgresUsedSignatures:
    """Each process deletes old ones once a minute, while it adds new ones."""

    def __init__(self, pool: ConnectionPool[Any], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._prune_at = 0.0

    def claim(self, utility_id: str, signature: bytes, request: bytes) -> bool:
        with transaction(self._pool) as connection:
            if self._monotonic() >= self._prune_at:
                connection.execute(_PRUNE, (KEPT_S,))
                self._prune_at = self._monotonic() + PRUNE_EVERY_S
            row = connection.execute(_CLAIM, (utility_id, signature, request)).fetchone()
        return row is not None and bytes(row[0]) == request
