"""Verification: compare the live rows with a fresh fold of the log in memory."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from adapters.postgres.connection.session import open_session
from adapters.postgres.read_model.log_copy import ProjectedLog
from adapters.postgres.read_model.positions import LivePosition, live_position
from adapters.postgres.read_model.row_table import RowTable, layout_of
from projections.engine.maintenance import Progress, VerifyReport, compare_rows
from projections.engine.memory_rows import MemoryRows, fold_entry
from projections.engine.projection import AnyProjection

_REPORT_EVERY = 10_000


def verify_rows(
    dsn: str, projection: AnyProjection, *, at: datetime, progress: Progress | None
) -> VerifyReport:
    """Raises FoldFailed, LogEntryUnreadable, RowUnreadable or an error of psycopg."""
    live, stored = _snapshot(dsn, projection, at)
    fresh: MemoryRows[Any] = MemoryRows(projection)
    with (
        open_session(dsn, f"verify {projection.name}", connect_within_s=10) as connection,
        closing(ProjectedLog(projection).entries(connection, after=0, up_to=live.position)) as entries,
    ):
        for number, entry in enumerate(entries):
            fold_entry(projection, entry, fresh)
            if number % _REPORT_EVERY == 0 and progress is not None:
                progress(entry.position, live.position)
    if progress is not None:
        progress(live.position, live.position)
    return compare_rows(projection, live.position, live.version, stored, fresh)


def _snapshot(dsn: str, projection: AnyProjection, at: datetime) -> tuple[LivePosition, dict[str, bytes]]:
    """The live rows and their position in one snapshot."""
    with open_session(dsn, f"verify {projection.name}", connect_within_s=10) as connection:
        live_position(connection, projection, at=at)
        connection.autocommit = False
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        # Locked before the snapshot is taken, so that a rebuild cannot drop the rows in between.
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(layout_of(projection).table))
        live = live_position(connection, projection)
        return live, RowTable(connection, projection, live.generation).stored()
