"""Progress of a rebuild: one row while it runs, committed together with the rows that it describes."""

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
from projections.engine.division import LogPart, Shard
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
_ATTACHED = """
UPDATE gridproof.projection_rebuilds SET attached = true, positions = ARRAY[up_to], fold = %s WHERE name = %s
"""
_MORE_ROWS = "UPDATE gridproof.projection_rebuilds SET rows = rows + %s WHERE name = %s"
_REACHED = "SELECT positions[1] FROM gridproof.projection_rebuilds WHERE name = %s"
_SPOILT = "UPDATE gridproof.projection_rebuilds SET fold = '' WHERE name = %s"
_END = "DELETE FROM gridproof.projection_rebuilds WHERE name = %s RETURNING domain_events, rows"


class RebuildProgress(msgspec.Struct, frozen=True):
    """The row of `projection_rebuilds`."""

    generation: int
    version: int
    fold: str
    """Fingerprint of what determines the rows."""
    attached: bool
    up_to: int
    """Position up to which the log is folded before the rows are attached. Later entries follow in batches.
    """
    positions: Sequence[int]
    """Position of each part of the log's streams; a single one after the attachment."""
    domain_events: int = 0
    rows: int = 0


class RebuildOvertaken(Exception):
    """Another rebuild process, which has not ended yet, wrote the same rows first."""


def log_parts(projection: AnyProjection, count: int) -> Sequence[LogPart]:
    """The parts that the processes of a rebuild fold."""
    return projection.divided(count) if count > 1 else (LogPart(projection, Shard()),)


def fold_fingerprint(projection: AnyProjection, count: int = 1) -> str:
    """Fingerprint of the projection's version, the shape of its rows, its ignored topics, and the division into `count`
    parts unless that is the one by streams, which releases without other ones continue. Rows with another fingerprint
    differ."""
    shape = msgspec.json.encode(msgspec.json.schema(projection.row_type), order="deterministic")
    ignored = "\n".join(ignored_topics(projection)).encode()
    whole = b"%d\n%s\n%s" % (projection.version, shape, ignored)
    by_streams = [LogPart(projection, Shard(number, count)) for number in range(count)]
    if (parts := list(log_parts(projection, count))) != by_streams:
        whole += b"\n" + repr([(part.shard, part.share) for part in parts]).encode()
    return sha256(whole).hexdigest()


def find_rebuild(
    connection: Connection, projection: AnyProjection, live: LivePosition
) -> RebuildProgress | None:
    """The rebuild in progress, if this release can continue it."""
    row = connection.execute(_FIND, (projection.name,)).fetchone()
    if row is None:
        return None
    progress = RebuildProgress(*row)
    table = f"gridproof.rm_{layout_of(projection).stem}_g{progress.generation}"
    is_there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,)
    fold = fold_fingerprint(projection, len(progress.positions))
    as_begun = (progress.version, progress.fold) == (projection.version, fold)
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
    """Start a rebuild: an empty table without keys, and nothing folded yet."""
    progress = RebuildProgress(
        generation=live.generation + 1,
        version=projection.version,
        fold=fold_fingerprint(projection, parts),
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
    """Advance one part of the streams in the caller's transaction. Raises RebuildOvertaken."""
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


def count_rows(connection: Connection, projection: AnyProjection, *, more: int) -> None:
    """Add to the number of rows in the caller's transaction."""
    connection.execute(_MORE_ROWS, (more, projection.name))


def attach(connection: Connection, projection: AnyProjection, generation: int) -> None:
    """Create the keys and attach the rows to the read model's table. They are not live yet."""
    with connection.transaction():
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")  # keys are sorted in memory
        # A second sorting process pays off only for large tables; a third one does not help.
        connection.execute("SET LOCAL max_parallel_maintenance_workers = 1")
        connection.execute("SET LOCAL min_parallel_table_scan_size = '64MB'")
        connection.execute(
            "SELECT gridproof.attach_generation(%s, %s)", (layout_of(projection).stem, generation)
        )
        connection.execute(_ATTACHED, (fold_fingerprint(projection), projection.name))


def attached_position(connection: Connection, projection: AnyProjection) -> int:
    """Position of the rows after the attachment."""
    row = connection.execute(_REACHED, (projection.name,)).fetchone()
    if row is None:
        raise RebuildOvertaken(f"another process rebuilds {projection.name} too; start the rebuild again")
    return int(row[0])


def invalidate(connection: Connection, projection: AnyProjection) -> None:
    """Prevent any release from continuing this rebuild, because the next fold may make other rows of the
    earlier log."""
    connection.execute(_SPOILT, (projection.name,))


def end_rebuild(connection: Connection, projection: AnyProjection) -> tuple[int, int]:
    """Delete the progress in the transaction of the swap. Returns (domain events folded, rows loaded)."""
    row = connection.execute(_END, (projection.name,)).fetchone()
    if row is None:
        raise RebuildOvertaken(f"another process rebuilds {projection.name} too; start the rebuild again")
    return int(row[0]), int(row[1])
