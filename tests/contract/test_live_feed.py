"""The contract of LiveLog."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres import live_feed
from adapters.postgres.connection import pool
from adapters.postgres.live_feed import PostgresLiveLog
from application.ports.live_feed import SERVING, LiveEntry, LiveLog, LiveLogUnavailable
from domain.identifiers import facility_stream_id
from tests.fakes.live_feed import AT, FakeLiveLog, positions_of
from tests.frozen_process import freeze
from tests.servers import Database, PostgresServer

DR_EVENT = uuid4()
PATIENCE_S = 60.0
_INSERT = """
INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state, notification_id)
OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s)
"""
_MOVE = """
INSERT INTO gridproof.projection_positions (name, version, position, updated_at, stopped_at)
VALUES (%s, 1, %s, now(), %s)
ON CONFLICT (name) DO UPDATE SET position = excluded.position, stopped_at = excluded.stopped_at
"""


class LiveLogRig(Protocol):
    @property
    def log(self) -> LiveLog: ...

    def record(self, topic: str, position: int, facility_id: str | None = None) -> None: ...

    def move(self, name: str, position: int, *, stopped: bool = False) -> None: ...


@dataclass
class FakeRig:
    log: FakeLiveLog = field(default_factory=FakeLiveLog)

    def record(self, topic: str, position: int, facility_id: str | None = None) -> None:
        of_event = None if topic.startswith("facility.") else DR_EVENT
        self.log.record(
            topic, dr_event_id=of_event, facility_id=facility_id, gap=position - self.log.head - 1
        )

    def move(self, name: str, position: int, *, stopped: bool = False) -> None:
        self.log.positions[name] = position
        if stopped:
            self.log.stopped.add(name)


@dataclass
class PostgresRig:
    log: PostgresLiveLog
    admin_dsn: str
    versions: dict[UUID, int] = field(default_factory=dict)

    def record(self, topic: str, position: int, facility_id: str | None = None) -> None:
        """Record domain events in the format of the aggregates: only the first one of a facility names the facility."""
        told: dict[str, Any] = {"recorded_at": AT.isoformat(), "actor": "test"}
        stream_id = DR_EVENT
        if topic.startswith("facility.") and facility_id is not None:
            stream_id = facility_stream_id(facility_id)
            told |= {} if stream_id in self.versions else {"facility_id": facility_id}
        elif topic.startswith("dispatch."):
            stream_id = uuid4()
            told |= {"dr_event_id": str(DR_EVENT), "facility_id": facility_id}
        version = self.versions[stream_id] = self.versions.get(stream_id, 0) + 1
        self.insert(stream_id, version, topic, json.dumps(told).encode(), position)

    def insert(self, *row: Any) -> None:
        with psycopg.connect(self.admin_dsn) as connection:
            connection.execute(_INSERT, row)

    def move(self, name: str, position: int, *, stopped: bool = False) -> None:
        with psycopg.connect(self.admin_dsn) as connection:
            connection.execute(_MOVE, (name, position, position + 1 if stopped else None))


@pytest.fixture(params=["fake", "postgres"])
def rig(request: pytest.FixtureRequest) -> Iterator[LiveLogRig]:
    if request.param == "fake":
        yield FakeRig()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresRig(PostgresLiveLog(pool), database.admin_dsn)


def everybody_at(rig: LiveLogRig, position: int) -> None:
    for name in SERVING:
        rig.move(name, position)


def test_an_entry_states_its_topic_dr_event_and_facility(rig: LiveLogRig) -> None:
    rig.record("facility.registered.v1", 1, "fac-001")
    rig.record("facility.maintenance-started.v1", 3, "fac-001")
    rig.record("dr-event.opened.v1", 4)
    rig.record("dispatch.committed.v1", 9, "fac-002")
    everybody_at(rig, 9)
    assert rig.log.entries(1, 9, limit=100) == [
        LiveEntry(position=3, topic="facility.maintenance-started.v1", occurred_at=AT, facility_id="fac-001"),
        LiveEntry(position=4, topic="dr-event.opened.v1", occurred_at=AT, dr_event_id=DR_EVENT),
        LiveEntry(
            position=9,
            topic="dispatch.committed.v1",
            occurred_at=AT,
            dr_event_id=DR_EVENT,
            facility_id="fac-002",
        ),
    ]


def test_entries_end_at_the_position_of_the_slowest_read_model(rig: LiveLogRig) -> None:
    for position in (1, 2, 5, 6):
        rig.record("dispatch.prepared.v1", position, "fac-001")
    everybody_at(rig, 6)
    rig.move("portfolio", 5)
    read_update = rig.log.read_update(1, limit=100)
    assert (read_update.head, read_update.served_until, positions_of(read_update.entries)) == (6, 5, [2, 5])
    behind = {state.name: state.behind_since for state in read_update.read_models}
    assert behind == dict.fromkeys(SERVING) | {"portfolio": AT}


def test_a_stopped_read_model_does_not_delay_entries(rig: LiveLogRig) -> None:
    for position in (1, 2, 3):
        rig.record("dispatch.prepared.v1", position, "fac-001")
    everybody_at(rig, 3)
    rig.move("dispatches", 1, stopped=True)
    read_update = rig.log.read_update(0, limit=100)
    assert read_update.served_until == 3
    assert [state.name for state in read_update.read_models if state.is_stopped] == ["dispatches"]
    for name in SERVING:
        rig.move(name, 1, stopped=True)
    assert rig.log.read_update(0, limit=100).served_until == 3


def test_batches_are_bounded_and_follow_one_another(rig: LiveLogRig) -> None:
    for position in range(1, 8):
        rig.record("dispatch.prepared.v1", position, "fac-001")
    everybody_at(rig, 7)
    assert positions_of(rig.log.read_update(0, limit=3).entries) == [1, 2, 3]
    assert positions_of(rig.log.entries(3, 7, limit=3)) == [4, 5, 6]
    assert positions_of(rig.log.entries(6, 7, limit=3)) == [7]
    assert rig.log.entries(7, 7, limit=3) == []


def test_without_a_position_only_the_state_is_returned(rig: LiveLogRig) -> None:
    rig.record("dispatch.prepared.v1", 1, "fac-001")
    everybody_at(rig, 1)
    read_update = rig.log.read_update(None, limit=100)
    assert (read_update.head, read_update.entries) == (1, ())


def test_an_empty_log_has_no_entries(rig: LiveLogRig) -> None:
    read_update = rig.log.read_update(0, limit=100)
    assert (read_update.head, read_update.served_until, read_update.entries) == (0, 0, ())
    assert rig.log.readings_stored_at() is None


def test_entries_that_this_release_cannot_read_are_returned_nevertheless(database: Database) -> None:
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2) as pool:
        rig = PostgresRig(PostgresLiveLog(pool), database.admin_dsn)
        rig.insert(uuid4(), 1, "contract.of-a-newer-release.v7", b"not even JSON", 1)
        told = [LiveEntry(position=1, topic="contract.of-a-newer-release.v7", occurred_at=None)]
        assert rig.log.entries(0, 1, limit=10) == told


def test_the_newest_time_of_all_partitions_is_returned(database: Database) -> None:
    with psycopg.connect(database.admin_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.telemetry_positions VALUES (1, 5, %s), (2, 9, %s)",
            (datetime(2026, 7, 14, 12, 0, tzinfo=UTC), datetime(2026, 7, 14, 12, 5, tzinfo=UTC)),
        )
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2) as pool:
        found = PostgresLiveLog(pool).readings_stored_at()
    assert found == datetime(2026, 7, 14, 12, 5, tzinfo=UTC)


def test_a_hanging_database_is_reported_on_a_new_connection(
    postgres_server: PostgresServer, database: Database
) -> None:
    with ConnectionPool(database.app_dsn, min_size=1, max_size=1, timeout=1.0) as pool:
        pool.wait()
        log, server = PostgresLiveLog(pool), postgres_server.embedded.pid
        log.check()
        assert server is not None
        freeze(server)
        try:
            with pytest.raises(LiveLogUnavailable):
                log.check()
        finally:
            os.kill(server, signal.SIGCONT)
        log.check()


def at(monkeypatch: pytest.MonkeyPatch, database: Database) -> PostgresLiveLog:
    """A log with an existing connection, because a slow machine may need longer to connect than the log waits."""
    monkeypatch.setattr(live_feed, "CONNECT_WITHIN_S", 30.0)
    log = PostgresLiveLog.at(database.app_dsn)
    log._pool.wait(PATIENCE_S)
    return log


def read_again(log: PostgresLiveLog) -> bool:
    """Read again once the pool has another connection, and its server process has begun to answer."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return log.read_update(0, limit=1).head == 0
        except LiveLogUnavailable:
            if time.monotonic() > deadline:
                raise


def test_a_hanging_connection_is_given_up_and_replaced(
    monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    """The server process is stopped: no connection closes, and TCP still acknowledges data."""
    monkeypatch.setattr(live_feed, "ANSWER_WITHIN_S", 1)
    monkeypatch.setattr(live_feed, "MOST_CONNECTIONS", 1)
    log = at(monkeypatch, database)
    try:
        assert log.read_update(0, limit=1).head == 0
        with log._pool.connection() as connection:
            frozen = connection.info.backend_pid
        freeze(frozen)
        try:
            with pytest.raises(LiveLogUnavailable, match="no answer in 2 s"):
                log.read_update(0, limit=1)
            log.check()
            assert read_again(log)
        finally:
            os.kill(frozen, signal.SIGCONT)
    finally:
        log.close()


def test_a_wait_for_a_lock_on_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    monkeypatch.setattr(live_feed, "ANSWER_WITHIN_S", 1)
    monkeypatch.setattr(pool, "MARGIN_S", 30.0)  # the server ends the wait, with any delay
    log = at(monkeypatch, database)
    try:
        with psycopg.connect(database.admin_dsn) as owner:
            owner.execute("LOCK TABLE gridproof.demand_response_events IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(LiveLogUnavailable, match="statement timeout"):
                log.read_update(0, limit=1)
            log.check()
        assert log.read_update(0, limit=1).head == 0
    finally:
        log.close()


def test_an_unavailable_database_is_reported(postgres_server: PostgresServer, database: Database) -> None:
    with ConnectionPool(database.app_dsn, min_size=1, max_size=1, timeout=1.0) as pool:
        pool.wait()
        log = PostgresLiveLog(pool)
        postgres_server.kill()
        for asking in (lambda: log.read_update(0, limit=1), lambda: log.entries(0, 1, limit=1), log.check):
            with pytest.raises(LiveLogUnavailable):
                asking()
        postgres_server.start()
