"""Position of each projection in the log, and the live generation of its rows."""

from datetime import datetime
from typing import Any

import msgspec
import psycopg

from projections.engine.projection import AnyProjection

Connection = psycopg.Connection[tuple[Any, ...]]


class LivePosition(msgspec.Struct, frozen=True):
    """The row of `projection_positions`."""

    version: int
    generation: int
    position: int


class PositionMoved(Exception):
    """Another process moved the projection (a rebuild was swapped in): read the position again."""


_ENSURE = """
INSERT INTO gridproof.projection_positions (name, version, updated_at) VALUES (%s, %s, %s)
ON CONFLICT (name) DO NOTHING
"""
_READ = "SELECT version, generation, position FROM gridproof.projection_positions WHERE name = %s"
_MOVE = """
UPDATE gridproof.projection_positions
SET position = %s, updated_at = %s, stopped_at = NULL, stopped_reason = NULL
WHERE name = %s AND generation = %s AND position = %s
"""
_STOP = """
UPDATE gridproof.projection_positions SET stopped_at = %(at_position)s, stopped_reason = %(reason)s, updated_at = %(at)s
WHERE name = %(name)s AND position < %(at_position)s
"""
_SWAP = """
UPDATE gridproof.projection_positions
SET version = %s, generation = %s, position = %s, updated_at = %s, stopped_at = NULL, stopped_reason = NULL
WHERE name = %s
"""


def live_position(
    connection: Connection, projection: AnyProjection, *, at: datetime | None = None
) -> LivePosition:
    """The position of the projection. With `at`, a new projection is created at position zero."""
    if at is not None:
        connection.execute(_ENSURE, (projection.name, projection.version, at))
    row = connection.execute(_READ, (projection.name,)).fetchone()
    assert row is not None, "the row was ensured just now, and nobody may delete it"  # noqa: S101
    return LivePosition(*row)


def locked_position(connection: Connection, projection: AnyProjection) -> LivePosition:
    """Like `live_position`, with the row locked until the end of the transaction, so that the live runner
    waits."""
    row = connection.execute(_READ + " FOR UPDATE", (projection.name,)).fetchone()
    if row is None:
        raise PositionMoved(f"projection {projection.name} has no position any more")
    return LivePosition(*row)


def move(
    connection: Connection, projection: AnyProjection, live: LivePosition, position: int, *, at: datetime
) -> None:
    """Advance from `live` to `position`. Raises PositionMoved. Blocks a swap until the commit."""
    moved = connection.execute(_MOVE, (position, at, projection.name, live.generation, live.position))
    if moved.rowcount != 1:
        raise PositionMoved(f"projection {projection.name} is no longer at {live.position}")


def mark_stopped(
    connection: Connection, projection: AnyProjection, position: int, reason: str, *, at: datetime
) -> None:
    """Mark the projection as stopped, unless a rebuild has already moved it beyond that position."""
    parameters = {
        "name": projection.name,
        "at_position": position,
        "reason": reason.replace("\0", "")[:2_000],
        "at": at,
    }
    connection.execute(_STOP, parameters)


def swap(
    connection: Connection, projection: AnyProjection, generation: int, position: int, *, at: datetime
) -> None:
    """Make `generation` the live one."""
    connection.execute(_SWAP, (projection.version, generation, position, at, projection.name))
