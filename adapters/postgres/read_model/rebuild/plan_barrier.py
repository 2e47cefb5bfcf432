"""Barrier for query plans that were made before a partition was attached.

A statement first determines the partitions and then takes its snapshot. If a partition is attached and made
the live one in between, the statement looks for live rows where there are none, and returns nothing. A
statement with such a stale plan holds a lock on the table until its transaction ends. A statement that locks
the table after the attachment was committed sees the new partition. It is therefore sufficient to wait for
the transactions that hold a lock now. CREATE INDEX CONCURRENTLY waits in the same way.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from projections.engine.maintenance import OldTransactionsOpen

Connection = psycopg.Connection[tuple[Any, ...]]

_HOLDERS = """
SELECT virtualtransaction, pid FROM pg_locks
WHERE locktype = 'relation' AND granted AND relation = %s::regclass AND pid IS DISTINCT FROM pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.05


def wait_for_stale_plans(connection: Connection, table: str, *, timeout_s: float) -> None:
    """Wait until every transaction that holds a lock on `table` now has ended. Raises OldTransactionsOpen."""
    deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    holders = _holders(connection, table)
    stale = set(holders)
    while stale:
        if time.monotonic() > deadline:
            pids = ", ".join(sorted({str(holders[transaction]) for transaction in stale}))
            raise OldTransactionsOpen(
                f"after {timeout_s:g} s transactions begun before the new rows of {table} were attached still read it "
                f"(server processes {pids}); end them, and rebuild again: it goes on from there"
            )
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        holders = _holders(connection, table)
        stale &= holders.keys()


def _holders(connection: Connection, table: str) -> dict[str, int]:
    return dict(connection.execute(_HOLDERS, (table,)).fetchall())
