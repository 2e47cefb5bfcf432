"""How far a rebuild is: one row while it is under way, committed with what it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
import psycopg

from adapters.postgres.read_model.log_copy import ignored_topics
from adapters.postgres.read_model.positions import LivePosition
from adapters.postgres.read_model.row_table import layout_of
from projections.engine.projection import AnyProjection

Connection = psycopg.Connection[tuple[Any, ...]]

_FIND = """
SELECT generation, version, fold, attached, up_to, positions, domain_events, rows
FROM gridproof.projection_rebuilds WHERE name = %s
"""
_BEGIN = """
INSERT INTO gridproof.projection_rebuilds (name, generation, version, fold, up_to, positions, started_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_ADVANCE = """
UPDATE gridproof.projection_rebuilds
SET positions[%(part)s] = %(now_at)s, domain_events = domain_events + %(domain_events)s, rows = rows + %(rows)s
WHERE name = %(name)s AND generation = %(generation)s AND positions[%(part)s] = %(was_at)s
"""
_ATTACHED = (
    "UPDATE gridproof.projection_rebuilds SET attached = true, positions = ARRAY[up_to] WHERE name = %s"
)
_REACHED = "SELECT positions[1] FROM gridproof.projection_rebuilds WHERE name = %s"
_SPOILT = "UPDATE gridproof.projection_rebuilds SET fold = '' WHERE name = %s"
_END = "DELETE FROM gridproof.projection_rebuilds WHERE name = %s RETURNING domain_events, rows"


class RebuildProgress(msgspec.Struct, frozen=True):
    """The row of `projection_rebuilds`."""

    generation: int
    version: int
    fold: str
    """What the rows are folded by."""
    attached: bool
    up_to: int
    """How far the log is folded before the rows are attached; from there on they follow in batches."""
    positions: Sequence[int]
    """How far each part of the log's streams is; one once attached."""
    domain_events: int = 0
    rows: int = 0


class RebuildOvertaken(Exception):
    """A process of an earlier rebuild, not yet gone, wrote the same rows first."""


def fold_fingerprint(projection: AnyProjection) -> str:
    """Another one, other rows: of the version, the shape of the rows, and the kinds of domain events left out."""
    shape = msgspec.json.encode(msgspec.json.schema(projection.row_type), order="deterministic")
    ignored = "\n".join(ignored_topics(projection)).encode()
    return sha256(b"%d\n%s\n%s" % (projection.version, shape, ignored)).hexdigest()


def find_rebuild(
    connection: Connection, projection: AnyProjection, live: LivePosition
) -> RebuildProgress | None:
    """The rebuild that was begun, if this release can go on with it."""
    row = connection.execute(_FIND, (projection.name,)).fetchone()
    if row is None:
        return None
    progress = RebuildProgress(*row)
    table = f"gridproof.rm_{layout_of(projection).stem}_g{progress.generation}"
    is_there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,)
    as_begun = (progress.version, progress.fold) == (projection.version, fold_fingerprint(projection))
    return progress if is_there and as_begun and progress.generation > live.generation else None


def begin_rebuild(
    connection: Connection,
    projection: AnyProjection,
    live: LivePosition,
    *,
    up_to: int,
    parts: int,
    at: datetime,
) -> RebuildProgress:
    """A new one: an empty table without keys, and nothing folded yet."""
    progress = RebuildProgress(
        generation=live.generation + 1,
        version=projection.version,
        fold=fold_fingerprint(projection),
        attached=False,
        up_to=up_to,
        positions=[0] * parts,
    )
    with connection.transaction():
        connection.execute(
            "SELECT gridproof.create_generation(%s, %s)", (layout_of(projection).stem, progress.generation)
        )
        connection.execute(
            _BEGIN,
            (
                projection.name,
                progress.generation,
                progress.version,
                progress.fold,
                up_to,
                list(progress.positions),
                at,
            ),
        )
    return progress


def advance(
    connection: Connection,
    projection: AnyProjection,
    generation: int,
    *,
    was_at: int,
    now_at: int,
    part: int = 0,
    domain_events: int = 0,
    rows: int = 0,
) -> None:
    """One part of the streams went on, in the caller's transaction. Raises Overtaken."""
    parameters = {
        "name": projection.name,
        "generation": generation,
        "part": part + 1,
        "was_at": was_at,
        "now_at": now_at,
        "domain_events": domain_events,
        "rows": rows,
    }
    if connection.execute(_ADVANCE, parameters).rowcount != 1:
        raise RebuildOvertaken(f"another process rebuilds {projection.name} too; start the rebuild again")


def attach(connection: Connection, projection: AnyProjection, generation: int) -> None:
    """Build the keys and make the rows a part of the read model's table, not yet the live one."""
    with connection.transaction():
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")  # keys are sorted in memory
        # A second process to sort with is worth its start where there is much to sort; a third only gets in the way.
        connection.execute("SET LOCAL max_parallel_maintenance_workers = 1")
        connection.execute("SET LOCAL min_parallel_table_scan_size = '64MB'")
        connection.execute(
            "SELECT gridproof.attach_generation(%s, %s)", (layout_of(projection).stem, generation)
        )
        connection.execute(_ATTACHED, (projection.name,))


def attached_position(connection: Connection, projection: AnyProjection) -> int:
    """How far the rows are, once they are attached."""
    row = connection.execute(_REACHED, (projection.name,)).fetchone()
    if row is None:
        raise RebuildOvertaken(f"another process rebuilds {projection.name} too; start the rebuild again")
    return int(row[0])


def invalidate(connection: Connection, projection: AnyProjection) -> None:
    """No release goes on with it: what folds the log next may make other rows of what came before."""
    connection.execute(_SPOILT, (projection.name,))


def end_rebuild(connection: Connection, projection: AnyProjection) -> tuple[int, int]:
    """In the transaction of the swap: (domain events folded, rows loaded)."""
    row = connection.execute(_END, (projection.name,)).fetchone()
    if row is None:
        raise RebuildOvertaken(f"another process rebuilds {projection.name} too; start the rebuild again")
    return int(row[0]), int(row[1])
