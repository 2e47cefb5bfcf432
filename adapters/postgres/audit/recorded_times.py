"""The index from times to positions of the demand response log, extended as the log grows."""

from __future__ import annotations

from typing import Any

from psycopg_pool import ConnectionPool

STRIDE = 256
"""Domain events for each row of the index, as the function in the database has it."""
ROWS_AT_ONCE = 20
_EXTEND = "SELECT gridproof.extend_recorded_times(%s)"


class RecordedTimesIndex:
    """Several processes may extend it: the database lets one of them work.

    The function in the database computes the rows, which the application's role cannot write. A log without an
    index is indexed from its beginning, at some 100,000 domain events a second.
    """

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def extend(self) -> int:
        """Add at most 20 rows. Returns their number; 0 when the index is up to date. Raises psycopg.Error."""
        with self._pool.connection() as connection:
            row = connection.execute(_EXTEND, (ROWS_AT_ONCE,)).fetchone()
        return int(row[0]) if row else 0
