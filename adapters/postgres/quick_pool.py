"""A pool that is back soon after its server is.

The library's own pauses double up to minutes while a server is away: after a stop of ten minutes it may be two more
before somebody looks again.
"""

from __future__ import annotations

from typing import Any

from psycopg_pool import ConnectionPool
from psycopg_pool.base import AttemptWithBackoff

TRY_AGAIN_S = 0.5


class _EvenPauses(AttemptWithBackoff):
    INITIAL_DELAY = TRY_AGAIN_S
    DELAY_BACKOFF = 1.0


class QuickPool(ConnectionPool[Any]):
    """Each of its connections is tried for again every half second, however long the server is away."""

    def _add_connection(self, attempt: AttemptWithBackoff | None, growing: bool = False) -> None:
        super()._add_connection(attempt or _EvenPauses(timeout=float("inf")), growing=growing)
