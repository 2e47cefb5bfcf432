"""One rebuild of a read model at a time, by session advisory locks: the server frees those of what was killed.

A rebuild holds its turn. Each process that folds a part of it shares another lock: those of a rebuild that was killed
may be storing their last stretch while the next rebuild begins, which therefore waits until they are gone.
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
    """For as long as the session lives. Raises RebuildUnderway where another has it, or works for one that is gone."""
    deadline = time.monotonic() + wait_s
    _acquire(
        connection, _rebuild_lock(projection), deadline, f"another rebuild of {projection.name} is under way"
    )
    parts = _parts_lock(projection)
    _acquire(
        connection, parts, deadline, f"processes of an earlier rebuild of {projection.name} are not yet gone"
    )
    connection.execute(_FREE, (parts,))


def share_parts_lock(connection: Connection, projection: AnyProjection) -> None:
    """For as long as the session lives."""
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
