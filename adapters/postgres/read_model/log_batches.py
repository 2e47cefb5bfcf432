"""Reader of the log in batches for one projection, and the fold of a batch into stored rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import msgspec
import psycopg

from adapters.postgres.read_model.log_copy import ProjectedLog
from adapters.postgres.read_model.row_table import RowBuffer, RowTable
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from projections.engine.memory_rows import fold_entry
from projections.engine.projection import AnyProjection

Connection = psycopg.Connection[tuple[Any, ...]]

# The end of the batch is read from the index alone, so that entries which the projection ignores are never
# read.
_END = """
SELECT max(notification_id), count(*) FROM (
    SELECT notification_id FROM gridproof.demand_response_events
    WHERE notification_id > %s ORDER BY notification_id LIMIT %s
) AS following
"""

_LAST_BEFORE = """
SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events WHERE notification_id < %s
"""


class Batch(msgspec.Struct, frozen=True):
    """A range of the log without the entries that the projection ignores."""

    entries: list[LogEntry]
    position: int
    """End of the batch; if there is an `unreadable` entry, the position before it."""
    is_full: bool
    """Full batches are probably followed by more entries."""
    unreadable: LogEntryUnreadable | None = None


def last_before(connection: Connection, position: int) -> int:
    """The position in the log before `position`, of any kind of entry; 0 if it is the first."""
    row = connection.execute(_LAST_BEFORE, (position,)).fetchone()
    return int(row[0]) if row is not None else 0


class LogBatches:
    """Batches of the log for one projection."""

    def __init__(self, projection: AnyProjection) -> None:
        self._log = ProjectedLog(projection)

    def after(self, connection: Connection, position: int, limit: int) -> Batch | None:
        """The next `limit` positions; None at the head of the log."""
        row = connection.execute(_END, (position, limit)).fetchone()
        if row is None or row[0] is None:
            return None
        end, count = row
        entries: list[LogEntry] = []
        copied = self._log.entries(connection, after=position, up_to=end)
        try:
            with closing(copied):
                entries.extend(copied)
        except LogEntryUnreadable as error:
            reached = last_before(connection, error.position)
            return Batch(entries, max(reached, position), is_full=False, unreadable=error)
        return Batch(entries, end, is_full=count == limit)


def fold_batch(
    projection: AnyProjection, table: RowTable[Any], entries: Sequence[LogEntry]
) -> RowBuffer[Any]:
    """Fold the entries into a buffer, which the caller writes. Raises FoldFailed, RowUnreadable (while
    fetching) or RowsUnavailable."""
    buffer = RowBuffer(projection, table)
    buffer.prefetch(key for entry in entries for key in projection.wanted(entry.domain_event))
    for entry in entries:
        buffer.position = entry.position
        fold_entry(projection, entry, buffer)
    return buffer
