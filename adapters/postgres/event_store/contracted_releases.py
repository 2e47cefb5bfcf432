"""The releases of which an operator has said that no older process runs (`gridproof migrate --contract`)."""

from __future__ import annotations

import time
from threading import Lock

from eventsourcing.postgres import PostgresDatastore

CHECK_EVERY_S = 60.0
_EXISTS = "SELECT to_regclass('gridproof.contracted_releases') IS NOT NULL AS is_there"
_IS_CONTRACTED = "SELECT EXISTS (SELECT FROM gridproof.contracted_releases WHERE release = %s) AS is_there"


class ContractedRelease:
    """Whether every process has `release` or a newer one. Asks at most once a minute, and never again once it is so."""

    def __init__(self, datastore: PostgresDatastore, release: str) -> None:
        self._datastore = datastore
        self._release = release
        self._is_contracted = False
        self._asked_at: float | None = None
        self._lock = Lock()

    def is_contracted(self) -> bool:
        """Raises eventsourcing's errors for a database that is away."""
        if self._is_contracted:
            return True
        with self._lock:
            now = time.monotonic()
            if self._asked_at is None or now - self._asked_at >= CHECK_EVERY_S:
                self._is_contracted = self._ask()
                self._asked_at = now
        return self._is_contracted

    def _ask(self) -> bool:
        with self._datastore.transaction(commit=False) as cursor:
            for statement, values in ((_EXISTS, ()), (_IS_CONTRACTED, (self._release,))):
                cursor.execute(statement, values)
                row = cursor.fetchone()
                if row is None or not row["is_there"]:
                    return False
        return True
