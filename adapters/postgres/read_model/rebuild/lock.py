"""Session advisory locks that allow one rebuild of a read model at a time. PostgreSQL releases those of a
killed process.

A rebuild holds the rebuild lock. Each process that folds a part of it shares the parts lock. Processes of a
killed rebuild may still store their last stretch, so the next rebuild waits until the parts lock is free.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from projections.engine.maintenance import RebuildUnderway
from projections.engine.projection import AnyProjection

Connection = psycopg.Connection[tuple[Any, ...]]

_TRY = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_FREE = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
_SHARE = "SELECT pg_advisory_lock_shared(hashtextextended(%s, 0))"
_POLL_S = 0.02


def acquire_rebuild_lock(connection: Connection, projection: AnyProjection, *, wait_s: float) -> None:
    """Acquire the rebuild lock for the life of the session. Raises RebuildUnderway if another rebuild holds
    it, or processes of an earlier one still run."""
    deadline = time.monotonic() + wait_s
    _acquire(
        connection, _rebuild_lock(projection), deadline, f"another rebuild of {projection.name} is under way"
    )
    parts = _parts_lock(projection)
    _acquire(connection, parts, deadline, f"processes of an earlier rebuild of {projection.name} still run")
    connection.execute(_FREE, (parts,))


def share_parts_lock(connection: Connection, projection: AnyProjection) -> None:
    """Share the parts lock for the life of the session."""
    connection.execute(_SHARE, (_parts_lock(projection),))


def _acquire(connection: Connection, name: str, deadline: float, otherwise: str) -> None:
    while connection.execute(_TRY, (name,)).fetchone() != (True,):
        if time.monotonic() > deadline:
            raise RebuildUnderway(f"{otherwise}; wait for it")
        time.sleep(_POLL_S)


def _rebuild_lock(projection: AnyProjection) -> str:
    return f"rebuild of {projection.name}"


def _parts_lock(projection: AnyProjection) -> str:
    return f"parts of the rebuild of {projection.name}"
