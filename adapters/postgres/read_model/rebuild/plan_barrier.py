"""Waiting for readers whose plan was made before a partition was attached.

A statement looks which partitions there are, and only then takes its snapshot. Between the two a partition may be
attached and made the live one: the statement then looks for live rows where there are none, and finds nothing.
Who planned before holds a lock on the table until its transaction ends; who locks the table after the attaching was
committed learns of the new partition. So waiting for the transactions that hold a lock now is enough (CREATE INDEX
CONCURRENTLY waits in the same way).
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
    """Until every transaction that holds a lock on `table` now has ended. Raises OldTransactionsOpen."""
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
