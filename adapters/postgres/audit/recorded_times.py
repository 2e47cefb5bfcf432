"""Follower that extends the index from times to positions of the demand response log."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import structlog
from psycopg_pool import ConnectionPool

STRIDE = 256
"""Domain events for each row of the index, as the function in the database has it."""
FOLLOW_EVERY_S = 2.0
FAILED_PAUSE_S = 10.0
ROWS_AT_ONCE = 20
_EXTEND = "SELECT gridproof.extend_recorded_times(%s)"

_log = structlog.get_logger(__name__)


class RecordedTimesFollower:
    """One of the loops of `gridproof worker project`. Several may run: the database lets one of them work.

    The function in the database computes the rows, which the application's role cannot write. A log of an older release
    is indexed from its beginning at the first start, at some 100,000 domain events a second.
    """

    name = "recorded times"

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def run(self, stop: threading.Event) -> None:
        """Run until `stop`. A failure is logged and tried again: reads by time then scan more, or are refused."""
        while not stop.is_set():
            try:
                while self.extend() and not stop.is_set():
                    pass
                pause_s = FOLLOW_EVERY_S
            except psycopg.Error as error:
                _log.warning("the index of times was not extended", error=str(error))
                pause_s = FAILED_PAUSE_S
            stop.wait(pause_s)

    def extend(self) -> int:
        """Add at most 20 rows. Returns their number; 0 when the index is up to date. Raises psycopg.Error."""
        with self._pool.connection() as connection:
            row = connection.execute(_EXTEND, (ROWS_AT_ONCE,)).fetchone()
        return int(row[0]) if row else 0
