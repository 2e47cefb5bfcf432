"""Rebuild of a read model from position zero, while the live rows stay in use.

Each stage is committed: the log is folded in stretches into a table without keys; the table gets its keys and
is attached; it catches up with the log; it becomes the live one. If the process is killed, the live rows
stay, and the next rebuild continues after the last committed stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, LiteralString

import msgspec
import psycopg
import structlog

from adapters.postgres.connection.session import open_session
from adapters.postgres.coordination.session_locks import lock_session_dsn
from adapters.postgres.read_model.log_batches import Batch, LogBatches, fold_batch
from adapters.postgres.read_model.log_copy import log_head
from adapters.postgres.read_model.positions import live_position, locked_position, swap
from adapters.postgres.read_model.rebuild import progress as rebuild_progress
from adapters.postgres.read_model.rebuild.fold import FoldLimits, FoldPart, fold_part
from adapters.postgres.read_model.rebuild.generation_table import GenerationTable
from adapters.postgres.read_model.rebuild.lock import acquire_rebuild_lock
from adapters.postgres.read_model.rebuild.parallel import fold_parts
from adapters.postgres.read_model.rebuild.plan_barrier import wait_for_stale_plans
from adapters.postgres.read_model.rebuild.progress import RebuildOvertaken, RebuildProgress, log_parts
from adapters.postgres.read_model.rebuild.verify import verify_rows
from adapters.postgres.read_model.row_table import Connection, RowTable, RowUnreadable, layout_of
from application.ports.clock import Clock
from application.ports.event_store.event_log import LogEntryUnreadable
from projections.engine.maintenance import (
    OldTransactionsOpen,
    Progress,
    ProjectionsUnavailable,
    RebuildReport,
    VerifyReport,
)
from projections.engine.memory_rows import FoldFailed
from projections.engine.projection import AnyProjection, RowsUnavailable

_log = structlog.get_logger(__name__)

Reached = Callable[[str], None]
"""Called after each stage: `begun`, `stretch`, `attached`, `awaited`, `batch`, `swapped`."""

_BATCH = 5_000
_FINAL_BATCH = 200
"""At most this many domain events are folded while the live runner waits."""
_DROP_ATTEMPTS, _DROP_PAUSE_S = 20, 0.1


class PostgresProjectionMaintenance:
    """Implements `projections rebuild` and `verify`; the live runner continues meanwhile."""

    def __init__(
        self,
        dsn: str,
        clock: Clock,
        *,
        bounds: FoldLimits = FoldLimits(),  # noqa: B008 - frozen
        readers_wait_s: float = 60.0,
        lock_wait_s: float = 5.0,
        reached: Reached = lambda _: None,
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._bounds = bounds
        self._readers_wait_s = readers_wait_s
        self._lock_wait_s = lock_wait_s
        self._reached = reached

    def rebuild(
        self, projection: AnyProjection, *, workers: int = 1, progress: Progress | None = None
    ) -> RebuildReport:
        """Fold the whole log into new rows and make them live. A rebuild in progress is continued.

        `workers`: processes to fold in. Raises FoldFailed (the live rows stay), RebuildUnderway,
        OldTransactionsOpen or ProjectionsUnavailable.
        """
        try:
            with open_session(
                lock_session_dsn(self._dsn), f"rebuild {projection.name}", connect_within_s=10
            ) as connection:
                acquire_rebuild_lock(connection, projection, wait_s=self._lock_wait_s)
                # The live rows of an older release may be in a table with another name, and would not be
                # protected.
                if live_position(connection, projection, at=self._clock.now()).version == projection.version:
                    _drop_old_generations(connection, projection)
                try:
                    report = self._rebuild(connection, projection, workers, progress)
                except FoldFailed:
                    rebuild_progress.invalidate(connection, projection)
                    _try_discard(
                        connection, projection
                    )  # if readers never pause, the next rebuild discards it
                    raise
                _drop_old_generations(connection, projection)
                return report
        except (psycopg.OperationalError, psycopg.InterfaceError, RowsUnavailable, RebuildOvertaken) as error:
            raise ProjectionsUnavailable(f"the read models cannot be reached: {error}") from error

    def verify(self, projection: AnyProjection, *, progress: Progress | None = None) -> VerifyReport:
        """Compare the live rows with a fresh fold up to their position.

        Raises FoldFailed or ProjectionsUnavailable.
        """
        try:
            return verify_rows(self._dsn, projection, at=self._clock.now(), progress=progress)
        except LogEntryUnreadable as error:
            raise FoldFailed(projection.name, error.position, error.topic, str(error)) from error
        except (psycopg.OperationalError, psycopg.InterfaceError, RowUnreadable) as error:
            raise ProjectionsUnavailable(f"the read models cannot be reached: {error}") from error

    def _rebuild(
        self, connection: Connection, projection: AnyProjection, workers: int, progress: Progress | None
    ) -> RebuildReport:
        began = time.perf_counter()
        live = live_position(connection, projection, at=self._clock.now())
        goal = rebuild_progress.find_rebuild(connection, projection, live)
        if goal is None:
            _discard(connection, projection)
            head = log_head(connection)
            goal = rebuild_progress.begin_rebuild(
                connection, projection, live, up_to=head, parts=workers, at=self._clock.now()
            )
            self._reached("begun")
        if not goal.attached:
            self._fold(projection, goal, progress)
            _join_shares(connection, projection, goal)
            rebuild_progress.attach(connection, projection, goal.generation)
            self._reached("attached")
        table = f"gridproof.rm_{layout_of(projection).stem}"
        wait_for_stale_plans(connection, table, timeout_s=self._readers_wait_s)
        self._reached("awaited")
        report = self._swap(connection, projection, goal)
        self._reached("swapped")
        return msgspec.structs.replace(report, seconds=round(time.perf_counter() - began, 3))

    def _fold(self, projection: AnyProjection, goal: RebuildProgress, progress: Progress | None) -> None:
        """Fold the log up to the position at which the rebuild began, with as many processes as it began
        with."""
        count = len(goal.positions)
        of_log = log_parts(projection, count)
        parts = [
            FoldPart(
                goal.generation,
                number,
                of_log[number],
                position=position,
                up_to=goal.up_to,
                bounds=self._bounds.shared(count),
            )
            for number, position in enumerate(goal.positions)
            if position < goal.up_to
        ]

        def report_progress(position: int) -> None:
            if progress is not None:
                progress(position, goal.up_to)

        if count > 1:
            fold_parts(self._dsn, parts, report_progress)
            return
        for part in parts:
            fold_part(self._dsn, part, report_progress, stretch_stored=lambda: self._reached("stretch"))

    def _swap(
        self, connection: Connection, projection: AnyProjection, goal: RebuildProgress
    ) -> RebuildReport:
        """Catch up with the log, at the end while the live runner waits, and make the rows live."""
        catch_up = _CatchUp(connection, projection, goal.generation)
        while (batch := catch_up.next_batch()) is not None:
            with connection.transaction():
                catch_up.fold(batch)
            self._reached("batch")
            if not batch.is_full and len(batch.entries) < _FINAL_BATCH:
                break
        with connection.transaction():
            live = locked_position(connection, projection)
            while (batch := catch_up.next_batch()) is not None:
                catch_up.fold(batch)
                if not batch.is_full and catch_up.position >= live.position:
                    break
            swap_began = time.perf_counter()
            swap(connection, projection, goal.generation, catch_up.position, at=self._clock.now())
            domain_events, rows = rebuild_progress.end_rebuild(connection, projection)
        swap_ms = round((time.perf_counter() - swap_began) * 1000, 2)
        return RebuildReport(
            name=projection.name,
            position=catch_up.position,
            domain_events=domain_events,
            rows=rows,
            swap_ms=swap_ms,
        )


class _CatchUp:
    """The attached new rows, while they catch up with the log."""

    def __init__(self, connection: Connection, projection: AnyProjection, generation: int) -> None:
        self._connection = connection
        self._projection = projection
        self._generation = generation
        self._batches = LogBatches(projection)
        self._table: RowTable[Any] = RowTable(connection, projection, generation)
        self.position = rebuild_progress.attached_position(connection, projection)

    def next_batch(self) -> Batch | None:
        """Raises FoldFailed if the next entry cannot be read."""
        batch = self._batches.after(self._connection, self.position, _BATCH)
        if batch is not None and batch.unreadable is not None and batch.position == self.position:
            error = batch.unreadable
            raise FoldFailed(self._projection.name, error.position, error.topic, str(error)) from error
        return batch

    def fold(self, batch: Batch) -> None:
        """Fold the batch in the caller's transaction."""
        fold_batch(self._projection, self._table, batch.entries).write()
        rebuild_progress.advance(
            self._connection,
            self._projection,
            self._generation,
            was_at=self.position,
            now_at=batch.position,
            domain_events=len(batch.entries),
        )
        self.position = batch.position


def _join_shares(connection: Connection, projection: AnyProjection, goal: RebuildProgress) -> None:
    keys = [part.share for part in log_parts(projection, len(goal.positions)) if part.share is not None]
    if keys:
        table = GenerationTable(connection, projection, goal.generation)
        with connection.transaction():
            rebuild_progress.count_rows(connection, projection, more=table.join_shares(keys))


def _drop_old_generations(connection: Connection, projection: AnyProjection) -> None:
    """If readers never pause, the next rebuild drops them."""
    if not _run_between_reads(connection, "SELECT gridproof.drop_old_generations(%s, %s)", projection):
        _log.warning("old rows are still read; the next rebuild drops them", projection=projection.name)


def _discard(connection: Connection, projection: AnyProjection) -> None:
    """Delete a rebuild that cannot be continued. Raises OldTransactionsOpen."""
    if not _try_discard(connection, projection):
        raise OldTransactionsOpen(
            f"the rows of an earlier rebuild of {projection.name} are still locked; rebuild again later"
        )


def _try_discard(connection: Connection, projection: AnyProjection) -> bool:
    return _run_between_reads(connection, "SELECT gridproof.discard_rebuild(%s, %s)", projection)


def _run_between_reads(connection: Connection, statement: LiteralString, projection: AnyProjection) -> bool:
    """Run a statement that drops a partition, which blocks readers. No reader waits longer than the lock
    time-out. False if the lock was never granted."""
    for _ in range(_DROP_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '10ms'")
                connection.execute(statement, (projection.name, layout_of(projection).stem))
        except psycopg.errors.LockNotAvailable:
            time.sleep(_DROP_PAUSE_S)
        else:
            return True
    return False
