"""Rebuild a read model from zero beside the live one, and compare the live one with a fresh fold.

A rebuild is one transaction: a table without keys, filled by COPY from a fold in memory; keys; catching up; the swap.
Killed at any point it leaves nothing, and the next one begins anew.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import msgspec
import psycopg
import structlog
from psycopg import sql

from adapters.postgres.generation_rows import NewGeneration, copy_blocks
from adapters.postgres.log_copy import copied_entries, ignored_topics, log_head
from adapters.postgres.projection_positions import LivePosition, live_position, locked_position, swap
from adapters.postgres.rebuild_fold import SharedFold, fold_log
from adapters.postgres.row_table import Connection, RowBuffer, RowTable, RowUnreadable, table_of
from application.ports.clock import Clock
from application.ports.event_log import EventLog, LogEntry
from projections.maintenance import (
    Progress,
    ProjectionsUnavailable,
    RebuildReport,
    RebuildUnderway,
    StreamsDepend,
    VerifyReport,
    compared,
)
from projections.memory_rows import MemoryRows, fold_entry
from projections.read_model import AnyProjection, RowsUnavailable

_log = structlog.get_logger(__name__)

_BATCH = 2_000
_TELL_EVERY = 10_000
_DROP_ATTEMPTS, _DROP_PAUSE_S = 20, 0.1


class PostgresProjectionMaintenance:
    """`projections rebuild` and `verify`; the live runner goes on meanwhile."""

    def __init__(self, dsn: str, log: EventLog, clock: Clock) -> None:
        self._dsn = dsn
        self._log = log
        self._clock = clock

    def rebuild(
        self, projection: AnyProjection, *, workers: int = 1, progress: Progress | None = None
    ) -> RebuildReport:
        """Fold the whole log into new rows and make them the live ones, in one transaction.

        Raises FoldFailed (the live rows stay), StreamsDepend, RebuildUnderway or ProjectionsUnavailable.
        """
        if workers > 1 and not projection.independent_streams:
            raise StreamsDepend(
                f"{projection.name} joins rows of several streams: rebuild it without --workers"
            )
        try:
            with psycopg.connect(
                self._dsn, autocommit=True, connect_timeout=10, application_name=f"rebuild {projection.name}"
            ) as connection:
                _take_turn(connection, projection)
                live_position(connection, projection, at=self._clock.now())
                _drop_old_generations(connection, projection)
                report = self._rebuilt(connection, projection, workers, progress)
                _drop_old_generations(connection, projection)
                return report
        except (psycopg.OperationalError, psycopg.InterfaceError, RowsUnavailable) as error:
            raise _unavailable(error) from error

    def verify(self, projection: AnyProjection, *, progress: Progress | None = None) -> VerifyReport:
        """Compare the live rows with a fold from zero to their position.

        Raises FoldFailed, LogEntryUnreadable or ProjectionsUnavailable.
        """
        live, stored = self._snapshot(projection)
        fresh: MemoryRows[Any] = MemoryRows(projection)
        try:
            with (
                psycopg.connect(self._dsn, autocommit=True, connect_timeout=10) as connection,
                closing(
                    copied_entries(
                        connection, after=0, up_to=live.position, ignored=ignored_topics(projection)
                    )
                ) as entries,
            ):
                for number, entry in enumerate(entries):
                    fold_entry(projection, entry, fresh)
                    if number % _TELL_EVERY == 0:
                        _report(progress, entry.position, live.position)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise _unavailable(error) from error
        _report(progress, live.position, live.position)
        return compared(projection, live.position, live.version, stored, fresh)

    def _snapshot(self, projection: AnyProjection) -> tuple[LivePosition, dict[str, bytes]]:
        """The live rows and their position at one moment."""
        try:
            with psycopg.connect(self._dsn, autocommit=True, connect_timeout=10) as connection:
                live_position(connection, projection, at=self._clock.now())
                connection.autocommit = False
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                # Before the snapshot is taken, so that a rebuild cannot drop the rows between snapshot and reading.
                connection.execute(
                    sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(table_of(projection.name))
                )
                live = live_position(connection, projection)
                return live, RowTable(connection, projection, live.generation).stored()
        except (psycopg.OperationalError, psycopg.InterfaceError, RowUnreadable) as error:
            raise _unavailable(error) from error

    def _rebuilt(
        self, connection: Connection, projection: AnyProjection, workers: int, progress: Progress | None
    ) -> RebuildReport:
        began = time.perf_counter()
        with connection.transaction():
            live = live_position(connection, projection)
            generation = live.generation + 1
            rows = NewGeneration(connection, projection, generation)
            rows.create()
            loaded = self._loaded(
                connection, projection, rows, generation=generation, workers=workers, progress=progress
            )
            rows.build_keys()
            table: RowTable[Any] = RowTable(connection, projection, generation)
            position, later = self._caught_up(connection, projection, table, loaded.position)
            swap_began = time.perf_counter()
            swap(connection, projection, generation, position, at=self._clock.now())
        ended = time.perf_counter()
        return msgspec.structs.replace(
            loaded,
            position=position,
            domain_events=loaded.domain_events + later,
            swap_ms=round((ended - swap_began) * 1000, 2),
            seconds=round(ended - began, 3),
        )

    def _loaded(
        self,
        connection: Connection,
        projection: AnyProjection,
        rows: NewGeneration,
        *,
        generation: int,
        workers: int,
        progress: Progress | None,
    ) -> RebuildReport:
        """The log up to its head of now, in the new rows."""
        head = log_head(connection)

        def tell(position: int) -> None:
            _report(progress, position, head)

        if workers > 1:
            shared = SharedFold(self._dsn, projection, up_to=head, generation=generation, workers=workers)
            rows.load(shared.blocks(tell))
            position, count, kept = head, shared.domain_events, shared.rows
        else:
            with psycopg.connect(self._dsn, autocommit=True, connect_timeout=10) as reading:
                folded = fold_log(reading, projection, up_to=head, progress=tell)
            position, count, kept = folded.position, folded.domain_events, len(folded.by_key)
            rows.load(copy_blocks(folded, generation))
        _report(progress, position, head)
        return RebuildReport(name=projection.name, position=position, domain_events=count, rows=kept)

    def _caught_up(
        self, connection: Connection, projection: AnyProjection, table: RowTable[Any], position: int
    ) -> tuple[int, int]:
        """(position, domain events since) when the new rows are as far as the live ones, whose runner now waits."""
        folded, live = 0, -1
        while True:
            entries = self._log.read_after(position, _BATCH)
            if entries:
                _fold_into(projection, table, entries)
                position, folded = entries[-1].position, folded + len(entries)
            if len(entries) < _BATCH // 10:
                live = locked_position(connection, projection).position
            if not entries and 0 <= live <= position:
                return position, folded


def _fold_into(projection: AnyProjection, table: RowTable[Any], entries: list[LogEntry]) -> None:
    buffer = RowBuffer(projection, table)
    buffer.prefetch(key for entry in entries for key in projection.wanted(entry.domain_event))
    for entry in entries:
        buffer.position = entry.position
        fold_entry(projection, entry, buffer)
    table.write(buffer.changes)


def _drop_old_generations(connection: Connection, projection: AnyProjection) -> None:
    """No reader waits longer than the lock time-out; where readers never pause, the next rebuild drops them."""
    for _ in range(_DROP_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '50ms'")
                connection.execute("SELECT gridproof.drop_old_generations(%s)", (projection.name,))
        except psycopg.errors.LockNotAvailable:
            time.sleep(_DROP_PAUSE_S)
        else:
            return
    _log.warning("old rows are still read; the next rebuild drops them", projection=projection.name)


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
