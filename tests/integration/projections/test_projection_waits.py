"""Reading one's own writes, and the lag of a read model."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from adapters.postgres.read_model.waits import PostgresProjectionWaits
from application.ports.event_store.event_log import LogEntry
from projections.dr_event.projection import DREventsProjection
from projections.engine.waits import ReadModelBehind
from projections.queries.views import ReadModelsUnavailable
from tests.integration.event_store.stored_events import until
from tests.integration.projections.conftest import ReadSide, running
from tests.integration.projections.stored_log import StoppedClock
from tests.patience import ANSWER_S, END_S
from tests.property.projections.projected_logs import walked
from tests.servers import PostgresServer, suspended

OF_WAITS = "FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'gridproof waits %%'"


def sessions(read_side: ReadSide) -> int:
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        rows = connection.execute(f"SELECT pid {OF_WAITS}".encode(), (read_side.database.name,)).fetchall()
    return len(rows)


@pytest.fixture(scope="module")
def entries() -> list[LogEntry]:
    numbers = random.Random(3)
    return walked([numbers.randrange(10_000_000) for _ in range(80)]).entries


def test_a_wait_ends_when_the_position_is_announced(read_side: ReadSide, entries: list[LogEntry]) -> None:
    waits = PostgresProjectionWaits(read_side.database.app_dsn)
    head = entries[-1].position
    reached: list[int] = []
    waiter = threading.Thread(
        target=lambda: reached.append(waits.wait_for("dr_events", head, timeout_s=ANSWER_S))
    )
    waiter.start()
    with running(read_side.projector(DREventsProjection())):
        read_side.store(entries)
        waiter.join(END_S)
    assert reached == [head]
    assert waits.wait_for("dr_events", head, timeout_s=0) == head


def test_a_wait_times_out_and_reports_the_position_of_the_read_model(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    read_side.store(entries)
    with pytest.raises(ReadModelBehind, match="dr_events is at 0, not yet at 5"):
        PostgresProjectionWaits(read_side.database.app_dsn).wait_for("dr_events", 5, timeout_s=0.05)


def test_all_waits_share_one_session_which_ends_with_the_last(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    waits, head = PostgresProjectionWaits(read_side.database.app_dsn), entries[-1].position
    with ThreadPoolExecutor(16) as threads:
        reached = [
            threads.submit(waits.wait_for, "dr_events", head - number, timeout_s=ANSWER_S)
            for number in range(16)
        ]
        until(lambda: sessions(read_side) == 1)
        with running(read_side.projector(DREventsProjection())):
            read_side.store(entries)
            assert all(one.result(ANSWER_S) >= head - number for number, one in enumerate(reached))
    until(lambda: sessions(read_side) == 0)


def test_waits_end_at_once_when_postgresql_ends_their_session(read_side: ReadSide) -> None:
    waits = PostgresProjectionWaits(read_side.database.app_dsn)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(waits.wait_for, "dr_events", 5, timeout_s=60) for _ in range(4)]
        until(lambda: waits._shared is not None and waits._shared.waiting == 4 and sessions(read_side) == 1)
        with psycopg.connect(read_side.database.admin_dsn) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) {OF_WAITS}", (read_side.database.name,))
        for one in waiting:
            with pytest.raises(ReadModelsUnavailable):
                one.result(ANSWER_S)
    with pytest.raises(ReadModelBehind):
        waits.wait_for("dr_events", 5, timeout_s=0.05)


def test_a_session_of_a_silent_server_is_replaced(
    read_side: ReadSide, postgres_server: PostgresServer
) -> None:
    waits = PostgresProjectionWaits(read_side.database.app_dsn)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(waits.wait_for, "dr_events", 5, timeout_s=300) for _ in range(4)]
        until(lambda: waits._shared is not None and waits._shared.waiting == 4 and sessions(read_side) == 1)
        with suspended(postgres_server.embedded):
            for one in waiting:
                with pytest.raises(ReadModelsUnavailable, match="no answer"):
                    one.result(ANSWER_S)
    with pytest.raises(ReadModelBehind):
        waits.wait_for("dr_events", 5, timeout_s=0.05)


def test_a_read_model_reports_since_when_it_is_behind(read_side: ReadSide, entries: list[LogEntry]) -> None:
    read_side.store(entries[:20])
    read_side.catch_up(DREventsProjection())
    assert read_side.position("dr_events").behind_since is None
    read_side.store(entries[20:])
    behind = read_side.position("dr_events")
    assert behind.behind_since == entries[20].domain_event.recorded_at
    now = StoppedClock().now()
    assert behind.lag_s(now) == (now - entries[20].domain_event.recorded_at).total_seconds()
