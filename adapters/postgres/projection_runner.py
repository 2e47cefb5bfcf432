"""Keeps one read model up to date: batches of the log, rows and position in one transaction.

One session does everything: it holds the advisory lock that makes its projection the only active one, it listens
for new domain events, and it writes. When that session dies, so does its right to write.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import structlog

from adapters.postgres.projection_positions import (
    LivePosition,
    PositionMoved,
    live_position,
    mark_stopped,
    move,
)
from adapters.postgres.projection_rebuild import PostgresProjectionMaintenance
from adapters.postgres.projection_waits import announce
from adapters.postgres.row_table import Connection, RowBuffer, RowTable, RowUnreadable
from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.ports.event_log import EventLog, LogEntry, LogEntryUnreadable
from application.ports.event_store import EventStoreUnavailable
from application.ports.operations import OperationsUnavailable
from projections.maintenance import ProjectionsUnavailable, RebuildUnderway
from projections.memory_rows import FoldFailed, fold_entry
from projections.read_model import AnyProjection, RowsUnavailable

_log = structlog.get_logger(__name__)

CHANNEL = "demand_response_events"
"""Where the event store announces new domain events: the name of its table."""
BATCH = 500
HEARTBEAT_S = 1.0
"""A lost announcement delays a read model by no more than this, wall time."""
RETRY_STOPPED_S = 60.0
LAG_ALERT_S = 30.0
_TURN_EVERY_S = 0.2
_RECONNECT_S = 0.5
_UNREACHABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    EventStoreUnavailable,
    OperationsUnavailable,
    ProjectionsUnavailable,
    RebuildUnderway,
    RowsUnavailable,
)


class ProjectionRunner:
    """Folds the log into the rows of one projection, for as long as it runs."""

    def __init__(
        self,
        projection: AnyProjection,
        *,
        log: EventLog,
        dsn: str,
        alerts: AlertRegistry,
        clock: Clock,
        batch_size: int = BATCH,
        heartbeat_s: float = HEARTBEAT_S,
        retry_stopped_s: float = RETRY_STOPPED_S,
    ) -> None:
        self.projection = projection
        self._read_log = log
        self._dsn = dsn
        self._alerts = alerts
        self._clock = clock
        self._batch_size = batch_size
        self._heartbeat_s = heartbeat_s
        self._retry_stopped_s = retry_stopped_s
        self._lags = False
        self._said_to_be_stopped = True

    @property
    def name(self) -> str:
        return self.projection.name

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. A lost database is waited for; what cannot be folded stops this projection with an alert."""
        while not stop.is_set():
            try:
                self._run_session(stop)
            except FoldFailed as error:
                self._tell_stopped(error)
                stop.wait(self._retry_stopped_s)
            except _UNREACHABLE as error:
                _log.warning("projection waits for its stores", projection=self.name, error=str(error))
                stop.wait(_RECONNECT_S)

    def catch_up(self) -> int:
        """Fold what the log holds now, and give the position; for one-off use. Raises FoldFailed."""
        stop = threading.Event()
        with self._connected() as connection:
            self._wait_for_turn(connection, stop)
            live = self._begin(connection)
            while (moved := self._advance(connection, live)) is not None:
                live = moved
            return live.position

    def _run_session(self, stop: threading.Event) -> None:
        with self._connected() as connection:
            if not self._wait_for_turn(connection, stop):
                return
            connection.execute(f"LISTEN {CHANNEL}")
            _log.info("projection active", projection=self.name)
            self._said_to_be_stopped = True
            live = self._begin(connection)
            while not stop.is_set():
                try:
                    moved = self._advance(connection, live)
                except PositionMoved:
                    moved = live_position(connection, self.projection, at=self._clock.now())
                self._tell_going()
                if moved is not None:
                    live = moved
                else:
                    for _ in connection.notifies(timeout=self._heartbeat_s, stop_after=1):
                        pass

    def _connected(self) -> Connection:
        return psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=5,
            application_name=f"projection {self.name}",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )

    def _wait_for_turn(self, connection: Connection, stop: threading.Event) -> bool:
        """Whether this session is the active one now; False when `stop` came first."""
        while not stop.is_set():
            row = connection.execute(
                "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"projection {self.name}",)
            ).fetchone()
            if row is not None and row[0]:
                return True
            stop.wait(_TURN_EVERY_S)
        return False

    def _begin(self, connection: Connection) -> LivePosition:
        """Where to go on; rows of an older version of the projection are rebuilt first."""
        live = live_position(connection, self.projection, at=self._clock.now())
        if live.version > self.projection.version:
            raise FoldFailed(
                self.name, live.position, "", f"its rows were made by the newer version {live.version}"
            )
        if live.version < self.projection.version:
            _log.info("projection is rebuilt", projection=self.name, version=self.projection.version)
            PostgresProjectionMaintenance(self._dsn, self._read_log, self._clock).rebuild(self.projection)
            live = live_position(connection, self.projection, at=self._clock.now())
        return live

    def _advance(self, connection: Connection, live: LivePosition) -> LivePosition | None:
        """Fold one batch, and give the new position; None if there was nothing. Raises FoldFailed."""
        entries = self._read(live.position)
        if not entries:
            self._watch_lag(None)
            return None
        moved = self._fold(connection, live, entries)
        self._watch_lag(entries[-1] if len(entries) == self._batch_size else None)
        return moved

    def _read(self, position: int) -> list[LogEntry]:
        try:
            return self._read_log.read_after(position, self._batch_size)
        except LogEntryUnreadable as error:
            readable = self._readable_before(error.position, position)
            if not readable:
                raise FoldFailed(self.name, error.position, error.topic, str(error)) from error
            return readable

    def _readable_before(self, unreadable: int, position: int) -> list[LogEntry]:
        """What comes after `position` and before the unreadable entry, one by one."""
        entries: list[LogEntry] = []
        while len(entries) < self._batch_size:
            try:
                found = self._read_log.read_after(position, 1)
            except LogEntryUnreadable:
                break
            if not found or found[0].position >= unreadable:
                break
            entries += found
            position = found[0].position
        return entries

    def _fold(self, connection: Connection, live: LivePosition, entries: Sequence[LogEntry]) -> LivePosition:
        """Fold and commit `entries`; where one of them fails, those before it. Raises FoldFailed."""
        try:
            return self._committed(connection, live, entries)
        except FoldFailed as error:
            before = [entry for entry in entries if entry.position < error.position]
            if before:
                self._committed(connection, live, before)
            raise
        except psycopg.DatabaseError as error:
            if isinstance(error, psycopg.OperationalError):
                raise
            if len(entries) == 1:
                raise FoldFailed(self.name, entries[0].position, entries[0].topic, str(error)) from error
        for entry in entries:  # the rows of one of them are refused: find out which
            live = self._fold(connection, live, [entry])
        return live

    def _committed(
        self, connection: Connection, live: LivePosition, entries: Sequence[LogEntry]
    ) -> LivePosition:
        table: RowTable[Any] = RowTable(connection, self.projection, live.generation)
        buffer = RowBuffer(self.projection, table)
        try:
            buffer.prefetch(key for entry in entries for key in self.projection.wanted(entry.domain_event))
        except RowUnreadable as error:
            raise FoldFailed(self.name, entries[0].position, entries[0].topic, str(error)) from error
        for entry in entries:
            buffer.position = entry.position
            fold_entry(self.projection, entry, buffer)
        position = entries[-1].position
        with connection.transaction():
            move(connection, self.projection, live, position, at=self._clock.now())
            table.write(buffer.changes)
        announce(connection, self.name, position)
        return LivePosition(live.version, live.generation, position)

    def _watch_lag(self, behind: LogEntry | None) -> None:
        """Alert while full batches keep coming and their domain events are old."""
        now = self._clock.now()
        lag_s = 0.0
        if behind is not None:
            lag_s = self._clock.wall_seconds((now - behind.domain_event.recorded_at).total_seconds())
        if lag_s > LAG_ALERT_S and not self._lags:
            detail = f"at position {behind.position if behind else 0}, {lag_s:.0f} s behind"
            self._alerts.raise_alert("projection_lag", self.name, detail, at=now)
            self._lags = True
        elif self._lags and behind is None:
            self._alerts.clear("projection_lag", self.name, at=now)
            self._lags = False

    def _tell_going(self) -> None:
        """Once a session: an alert of before, also one of another process, is over."""
        if self._said_to_be_stopped:
            self._alerts.clear("projection_stopped", self.name, at=self._clock.now())
            self._said_to_be_stopped = False

    def _tell_stopped(self, error: FoldFailed) -> None:
        """Where it cannot be told now, it is when the projection looks again."""
        _log.error("projection stopped", projection=self.name, position=error.position, error=str(error))
        now = self._clock.now()
        try:
            with self._connected() as connection:
                mark_stopped(connection, self.projection, error.position, str(error), at=now)
            self._alerts.raise_alert("projection_stopped", self.name, str(error)[:1_000], at=now)
        except _UNREACHABLE as unreachable:
            _log.warning("projection could not tell that it stopped", error=str(unreachable))
