"""Rebuild a read model from zero beside the live one, and compare the live one with a fresh fold."""

import time
from collections.abc import Callable
from typing import Any

import psycopg

from adapters.postgres.projection_positions import LivePosition, live_position, locked_position, swap
from adapters.postgres.row_table import Connection, RowBuffer, RowTable, RowUnreadable
from application.ports.clock import Clock
from application.ports.event_log import EventLog, LogEntry
from projections.maintenance import (
    ProjectionsUnavailable,
    RebuildReport,
    RebuildUnderway,
    VerifyReport,
    compared,
)
from projections.memory_rows import MemoryRows, fold_entry
from projections.read_model import AnyProjection, RowsUnavailable

_BATCH = 2_000
Progress = Callable[[int, int], None]
SNAPSHOT_ATTEMPTS, SNAPSHOT_PAUSE_S = 40, 0.05


class PostgresProjectionMaintenance:
    """`projections rebuild` and `verify`; the live runner goes on meanwhile."""

    def __init__(self, dsn: str, log: EventLog, clock: Clock) -> None:
        self._dsn = dsn
        self._log = log
        self._clock = clock

    def rebuild(self, projection: AnyProjection, *, progress: Progress | None = None) -> RebuildReport:
        """Fold the whole log into new rows and make them the live ones, in one transaction.

        Raises FoldFailed (the live rows stay), RebuildUnderway or ProjectionsUnavailable.
        """
        try:
            with psycopg.connect(self._dsn, autocommit=True, connect_timeout=10) as connection:
                _take_turn(connection, projection)
                return self._rebuilt(connection, projection, progress)
        except (psycopg.OperationalError, psycopg.InterfaceError, RowsUnavailable) as error:
            raise _unavailable(error) from error

    def verify(self, projection: AnyProjection, *, progress: Progress | None = None) -> VerifyReport:
        """Compare the live rows with a fold from zero to their position.

        Raises FoldFailed or ProjectionsUnavailable.
        """
        live, stored = self._snapshot(projection)
        fresh: MemoryRows[Any] = MemoryRows(projection)
        position = 0
        while entries := self._entries(position, live.position):
            fresh.fold(entries)
            position = entries[-1].position
            _report(progress, position, live.position)
        return compared(projection, live.position, live.version, stored, fresh)

    def _snapshot(self, projection: AnyProjection) -> tuple[LivePosition, dict[str, bytes]]:
        """The live rows and their position at one moment; a runner that writes meanwhile makes us look again."""
        attempts_left = SNAPSHOT_ATTEMPTS
        while True:
            try:
                with psycopg.connect(self._dsn, connect_timeout=10) as connection:
                    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                    live = live_position(connection, projection, at=self._clock.now())
                    return live, RowTable(connection, projection, live.generation).stored()
            except psycopg.errors.SerializationFailure as error:
                attempts_left -= 1
                if not attempts_left:
                    raise _unavailable(error) from error
                time.sleep(SNAPSHOT_PAUSE_S)
            except (psycopg.OperationalError, psycopg.InterfaceError, RowUnreadable) as error:
                raise _unavailable(error) from error

    def _entries(self, position: int, last: int) -> list[LogEntry]:
        entries = self._log.read_after(position, _BATCH) if position < last else []
        return [entry for entry in entries if entry.position <= last]

    def _rebuilt(
        self, connection: Connection, projection: AnyProjection, progress: Progress | None
    ) -> RebuildReport:
        live = live_position(connection, projection, at=self._clock.now())
        RowTable(connection, projection, live.generation).delete_other_generations()
        table = RowTable(connection, projection, live.generation + 1)
        position, count = 0, 0
        while True:
            entries = self._log.read_after(position, _BATCH)
            if entries:
                _fold_into(connection, projection, table, entries)
                position, count = entries[-1].position, count + len(entries)
                _report(progress, position, max(live.position, position))
            elif self._swapped(connection, projection, live, position):
                table.delete_other_generations()
                return RebuildReport(name=projection.name, position=position, domain_events=count)

    def _swapped(
        self, connection: Connection, projection: AnyProjection, live: LivePosition, position: int
    ) -> bool:
        """False while the live rows are further: readers never see a read model go back."""
        with connection.transaction():
            if locked_position(connection, projection).position > position:
                return False
            swap(connection, projection, live.generation + 1, position, at=self._clock.now())
            return True


def _fold_into(
    connection: Connection, projection: AnyProjection, table: RowTable[Any], entries: list[LogEntry]
) -> None:
    buffer = RowBuffer(projection, table)
    buffer.prefetch(key for entry in entries for key in projection.wanted(entry.domain_event))
    for entry in entries:
        buffer.position = entry.position
        fold_entry(projection, entry, buffer)
    with connection.transaction():
        table.write(buffer.changes)


def _take_turn(connection: Connection, projection: AnyProjection) -> None:
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"rebuild of {projection.name}",)
    ).fetchone()
    if row is None or not row[0]:
        raise RebuildUnderway(f"another rebuild of {projection.name} is under way; wait for it")


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _unavailable(error: Exception) -> ProjectionsUnavailable:
    return ProjectionsUnavailable(f"the read models cannot be reached: {error}")
