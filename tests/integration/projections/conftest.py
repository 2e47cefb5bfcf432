"""Projectors of every projection, and their followers, on their own database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from adapters.postgres.connection.session import with_release
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.read_model.projector import Projector
from adapters.postgres.read_model.read_models import PostgresReadModels
from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
from application.ports.event_store.event_log import LogEntry
from interfaces.workers.project.log_follower import LogFollower
from projections.engine.projection import AnyProjection
from projections.queries.views import ProjectionPosition
from projections.registry import PROJECTIONS
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.integration.projections.stored_log import StoppedClock, event_log, pool, store_entries
from tests.servers import Database

WAIT_S = 30.0


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds. No test depends on the duration."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"condition not met after {WAIT_S:g} s: {what}"
        time.sleep(0.02)


@dataclass
class ReadSide:
    """A database, its log, and the processes that use its read models."""

    database: Database
    log: PostgresEventStore
    models: PostgresReadModels
    maintenance: PostgresProjectionMaintenance
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)

    def store(self, entries: list[LogEntry]) -> None:
        store_entries(self.database.admin_dsn, entries)

    def projector(self, projection: AnyProjection, **options: Any) -> Projector:
        settings: dict[str, Any] = {"heartbeat_s": 0.2, "retry_stopped_s": 0.2, "batch_size": 10, **options}
        return Projector(
            projection,
            dsn=self.database.app_dsn,
            alerts=self.alerts,
            clock=StoppedClock(),
            **settings,
        )

    def catch_up(self, *projections: AnyProjection) -> None:
        for projection in projections or PROJECTIONS:
            self.projector(projection).catch_up()

    def position(self, name: str) -> ProjectionPosition:
        return next(position for position in self.models.positions() if position.name == name)

    def differences(self, *projections: AnyProjection) -> dict[str, str | None]:
        """Rows that differ from a fresh fold of the log up to the same position."""
        reports = [self.maintenance.verify(projection) for projection in projections or PROJECTIONS]
        return {report.name: report.first_difference for report in reports if not report.equal}

    def sessions(self, name: str) -> list[tuple[int, bool]]:
        """(server process id, whether it holds the lock) of each follower's session of a projection."""
        with psycopg.connect(self.database.admin_dsn) as connection:
            return connection.execute(
                "SELECT a.pid, EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' "
                "AND l.granted) FROM pg_stat_activity a WHERE a.application_name = %s AND a.datname = %s "
                "ORDER BY a.backend_start",
                (with_release(f"projection {name}"), self.database.name),
            ).fetchall()

    def kill_session(self, pid: int) -> None:
        with psycopg.connect(self.database.admin_dsn) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


@pytest.fixture
def read_side(database: Database) -> Iterator[ReadSide]:
    log, connections = event_log(database.app_dsn), pool(database.app_dsn)
    maintenance = PostgresProjectionMaintenance(database.app_dsn, StoppedClock())
    yield ReadSide(database, log, PostgresReadModels(connections), maintenance)
    log.close()
    connections.close()


@contextmanager
def running(*projectors: Projector) -> Iterator[threading.Event]:
    """Follow the log for each in a thread until the end of the block. A follower that ends with an error fails the
    test."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(projector: Projector) -> None:
        try:
            LogFollower(projector).run(stop)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run, args=(projector,), daemon=True) for projector in projectors]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
