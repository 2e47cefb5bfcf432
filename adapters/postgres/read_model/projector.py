"""Projector: brings one read model up to date. Each batch of the log is committed with its rows and its position."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import structlog

from adapters.postgres.coordination.lock_balance import LockBalance
from adapters.postgres.event_store.log_session import LogSession, connect, log_session
from adapters.postgres.read_model.log_batches import Batch, LogBatches, fold_batch, last_before
from adapters.postgres.read_model.positions import (
    LivePosition,
    PositionMoved,
    live_position,
    mark_stopped,
    move,
)
from adapters.postgres.read_model.rebuild.fold import FoldLimits
from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
from adapters.postgres.read_model.row_table import Connection, RowTable, RowUnreadable
from adapters.postgres.read_model.waits import announce
from application.ports.clock import Clock
from application.ports.event_store.event_log import LogEntry
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from projections.engine.maintenance import ProjectionsUnavailable, RebuildUnderway
from projections.engine.memory_rows import FoldFailed
from projections.engine.projection import AnyProjection, RowsUnavailable

_log = structlog.get_logger(__name__)

CHANNEL = "demand_response_events"
"""The channel on which the event store announces new domain events: the name of its table."""
BATCH = 500
BATCH_BEHIND = 8_000
"""Batches grow up to this while full ones keep coming, which saves round trips and commits."""
HEARTBEAT_S = 1.0
"""Longest delay of a read model after a lost notification, wall time."""
RETRY_STOPPED_S = 60.0
LAG_ALERT_S = 30.0
_AT_DEPLOY = FoldLimits(stretch=200_000, most_rows=100_000)
"""A new release may rebuild every read model at once in one process, so each gets less memory."""


class Projector:
    """Folds the log into the rows of one projection. It is a consumer of the project worker's LogFollower."""

    unavailable: tuple[type[Exception], ...] = (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        OperationsUnavailable,
        ProjectionsUnavailable,
        RebuildUnderway,
        RowsUnavailable,
    )

    def __init__(
        self,
        projection: AnyProjection,
        *,
        dsn: str,
        alerts: AlertRegistry,
        clock: Clock,
        batch_size: int | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        retry_stopped_s: float = RETRY_STOPPED_S,
        balance: LockBalance | None = None,
    ) -> None:
        """`batch_size` fixes the size of batches; otherwise it grows while the projection is behind. With `balance` a
        process that holds many projections gives some back."""
        self.projection = projection
        self._batches = LogBatches(projection)
        self._dsn = dsn
        self._alerts = alerts
        self._clock = clock
        self._smallest_batch = self._next_size = batch_size or BATCH
        self._largest_batch = batch_size or BATCH_BEHIND
        self._heartbeat_s = heartbeat_s
        self._retry_stopped_s = retry_stopped_s
        self._balance = balance
        self._lags: str | None = None
        self._position = 0
        """The last one that this process reached."""

    @property
    def name(self) -> str:
        return self.projection.name

    def fence(self, stop: threading.Event) -> AbstractContextManager[LogSession]:
        holder = None if self._balance is None else self._balance.holder
        return log_session(self._dsn, self._session_name, [CHANNEL], stop, holder=holder)

    def position(self, session: LogSession, stop: threading.Event) -> LivePosition:
        """Raises FoldFailed if the rows are those of a newer release, or cannot be rebuilt."""
        _log.info("projection active", projection=self.name)
        return self._start_position(session.connection)

    def apply(self, session: LogSession, position: LivePosition) -> tuple[LivePosition, float]:
        """Fold the next batch. Raises FoldFailed at an entry that cannot be folded: nothing is skipped."""
        self._position = position.position
        try:
            moved = self._advance(session.connection, position)
        except PositionMoved:
            moved = live_position(session.connection, self.projection, at=self._clock.now())
        self._state("projection_stopped", None)
        return (position, self._heartbeat_s) if moved is None else (moved, 0.0)

    def gives_back(self, session: LogSession) -> bool:
        balance = self._balance
        return balance is not None and balance.gives_back(self.name, session.connection)

    def finish(self, session: LogSession, position: LivePosition) -> None:
        """Each batch was committed."""

    def failed(self, error: Exception) -> float:
        """Stop the projection with an alert; the others continue."""
        if not isinstance(error, FoldFailed):
            why = f"{type(error).__name__}: {error}"
            error = FoldFailed(self.name, self._position + 1, "or one after it", why)
        self._report_stopped(error)
        return self._retry_stopped_s

    def catch_up(self) -> int:
        """Fold all that the log holds now, and return the position; for one-off use. Raises FoldFailed."""
        with log_session(self._dsn, self._session_name, ()) as session:
            live = self._start_position(session.connection)
            while (moved := self._advance(session.connection, live)) is not None:
                live = moved
            return live.position

    @property
    def _session_name(self) -> str:
        return f"projection {self.name}"

    def _start_position(self, connection: Connection) -> LivePosition:
        """The position to continue from. Rows of an older version of the projection are rebuilt first."""
        live = live_position(connection, self.projection, at=self._clock.now())
        if live.version > self.projection.version:
            raise FoldFailed(
                self.name, live.position, "", f"its rows were made by the newer version {live.version}"
            )
        if live.version < self.projection.version:
            _log.info("projection is rebuilt", projection=self.name, version=self.projection.version)
            PostgresProjectionMaintenance(self._dsn, self._clock, bounds=_AT_DEPLOY).rebuild(self.projection)
            live = live_position(connection, self.projection, at=self._clock.now())
        return live

    def _advance(self, connection: Connection, live: LivePosition) -> LivePosition | None:
        """Fold one batch and return the new position; None at the head of the log. Raises FoldFailed or
        PositionMoved."""
        batch = self._batches.after(connection, live.position, self._next_size)
        if batch is None:
            self._next_size = self._smallest_batch
            self._check_lag(None)
            return None
        if batch.unreadable is not None and batch.position == live.position:
            error = batch.unreadable
            raise FoldFailed(self.name, error.position, error.topic, str(error)) from error
        moved = self._fold(connection, live, batch.entries, batch.position)
        self._check_lag(batch)
        larger = min(self._next_size * 2, self._largest_batch)
        self._next_size = larger if batch.is_full else self._smallest_batch
        return moved

    def _fold(
        self, connection: Connection, live: LivePosition, entries: Sequence[LogEntry], position: int
    ) -> LivePosition:
        """Fold `entries` and commit `position`. If an entry fails, the entries before it are committed.

        Raises FoldFailed, or PositionMoved if a rebuild was swapped in meanwhile.
        """
        try:
            return self._commit(connection, live, entries, position)
        except FoldFailed as error:
            # The rows may belong to a generation that was dropped meanwhile; the log is not at fault then.
            if live_position(connection, self.projection).generation != live.generation:
                raise PositionMoved(f"projection {self.name} was rebuilt") from error
            before = [entry for entry in entries if entry.position < error.position]
            reached = last_before(connection, error.position)
            if reached > live.position:
                self._commit(connection, live, before, reached)
            raise
        except psycopg.DatabaseError as error:
            if isinstance(error, psycopg.OperationalError) or not entries:
                raise
            if len(entries) == 1:
                raise FoldFailed(self.name, entries[0].position, entries[0].topic, str(error)) from error
        half = len(entries) // 2  # PostgreSQL refuses the rows of one entry: find it by bisection
        live = self._fold(connection, live, entries[:half], entries[half - 1].position)
        return self._fold(connection, live, entries[half:], position)

    def _commit(
        self, connection: Connection, live: LivePosition, entries: Sequence[LogEntry], position: int
    ) -> LivePosition:
        table: RowTable[Any] = RowTable(connection, self.projection, live.generation)
        try:
            buffer = fold_batch(self.projection, table, entries)
        except RowUnreadable as error:
            raise FoldFailed(self.name, entries[0].position, entries[0].topic, str(error)) from error
        with connection.transaction():
            move(connection, self.projection, live, position, at=self._clock.now())
            buffer.write()
        announce(connection, self.name, position)
        return LivePosition(live.version, live.generation, position)

    def _check_lag(self, batch: Batch | None) -> None:
        """State an alert while full batches keep coming and their domain events are old."""
        now = self._clock.now()
        behind = batch.entries[-1] if batch is not None and batch.is_full and batch.entries else None
        lag_s = 0.0
        if behind is not None:
            lag_s = self._clock.wall_seconds((now - behind.domain_event.recorded_at).total_seconds())
        if lag_s > LAG_ALERT_S:
            self._lags = f"at position {behind.position if behind else 0}, {lag_s:.0f} s behind"
        elif batch is None or not batch.is_full:
            self._lags = None
        self._state("projection_lag", self._lags)

    def _state(self, name: str, detail: str | None) -> None:
        stated = {} if detail is None else {self.name: detail}
        observer = f"projection {self.name}"
        self._alerts.state(name, stated, observer=observer, at=self._clock.now())

    def _report_stopped(self, error: FoldFailed) -> None:
        """Record the stop and state the alert. If that fails, it is repeated at the next retry."""
        _log.error("projection stopped", projection=self.name, position=error.position, error=str(error))
        now = self._clock.now()
        try:
            with connect(self._dsn, self._session_name) as connection:
                mark_stopped(connection, self.projection, error.position, str(error), at=now)
            self._state("projection_stopped", str(error)[:1_000])
        except Exception as unreported:  # noqa: BLE001 - repeated at the next retry
            _log.warning("projection could not report that it stopped", error=str(unreported))
