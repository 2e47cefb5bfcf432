"""Locks that allow one rebuild of a read model at a time.

A rebuild holds the rebuild lock. Each process that folds a part of it shares the parts lock. Processes of a
killed rebuild may still store their last stretch, so the next rebuild waits until the parts lock is free.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from adapters.postgres.coordination.session_locks import NAMES, try_lock, unlock, wait_for_lock
from projections.engine.maintenance import RebuildUnderway
from projections.engine.projection import AnyProjection

Connection = psycopg.Connection[tuple[Any, ...]]

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
    unlock(connection, parts)


def share_parts_lock(connection: Connection, projection: AnyProjection) -> None:
    """Share the parts lock for the life of the session."""
    wait_for_lock(connection, NAMES, _parts_lock(projection), shared=True)


def _acquire(connection: Connection, name: str, deadline: float, otherwise: str) -> None:
    while not try_lock(connection, name):
        if time.monotonic() > deadline:
            raise RebuildUnderway(f"{otherwise}; wait for it")
        time.sleep(_POLL_S)


def _rebuild_lock(projection: AnyProjection) -> str:
    return f"rebuild of {projection.name}"


def _parts_lock(projection: AnyProjection) -> str:
    return f"parts of the rebuild of {projection.name}"
