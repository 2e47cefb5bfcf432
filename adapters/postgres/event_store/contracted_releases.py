"""The releases of which an operator has said that no older process runs (`gridproof migrate --contract`)."""

from __future__ import annotations

import time
from threading import Lock

from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from adapters.postgres.connection.pipeline import Call
from adapters.postgres.event_store.errors import as_library_errors
from adapters.postgres.wire_format.binary_arrays import TRUE

CHECK_EVERY_S = 60.0
_STATEMENTS = {
    b"table of releases": b"SELECT to_regclass('gridproof.contracted_releases') IS NOT NULL",
    b"contracted": b"SELECT EXISTS (SELECT FROM gridproof.contracted_releases WHERE release = $1::text)",
}


class ContractedRelease:
    """Whether every process has `release` or a newer one. Asks at most once a minute, and never again once it is so."""

    def __init__(self, dedicated: DedicatedConnection, release: str) -> None:
        dedicated.add(_STATEMENTS)
        self._dedicated = dedicated
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
                # Not in one round trip: a statement about a table that is not there cannot be prepared.
                self._is_contracted = self._is_true((b"table of releases", ())) and self._is_true(
                    (b"contracted", (self._release.encode(),))
                )
                self._asked_at = now
        return self._is_contracted

    def _is_true(self, call: Call) -> bool:
        with as_library_errors():
            [answer] = self._dedicated.run(call)
        return answer.get_value(0, 0) == TRUE
