"""The state of the running system, from PostgreSQL and NATS."""

import asyncio
from collections.abc import Iterator
from typing import Any

import nats
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.embedded.postgres import PROJECTIONS
from adapters.nats.queue_depths import NatsQueueDepths
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.operations.system_state import PostgresSystemState
from application.ports.operations.system_state import QueuesUnavailable
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer


@pytest.fixture
def pool(database: Database) -> Iterator[ConnectionPool[Any]]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as opened:
        yield opened


def test_a_lock_is_reported_while_a_session_holds_it(pool: ConnectionPool[Any], database: Database) -> None:
    state = PostgresSystemState(pool)

    async def scenario() -> tuple[frozenset[str], frozenset[str]]:
        locks = AdvisoryLocks(LockSession(database.app_dsn))
        try:
            async with locks.held("relay"), locks.held("measure"):
                during = await asyncio.to_thread(state.held, ["relay", "measure", "schedule"])
            return during, await asyncio.to_thread(state.held, ["relay", "measure", "schedule"])
        finally:
            await locks.aclose()

    assert asyncio.run(scenario()) == (frozenset({"relay", "measure"}), frozenset())


def test_sessions_of_every_role_are_counted_by_application_name(
    pool: ConnectionPool[Any], database: Database, postgres_server: PostgresServer
) -> None:
    name = "projection made-up"
    projections = postgres_server.embedded.url(PROJECTIONS, database.name)
    with (
        psycopg.connect(database.app_dsn, application_name=name),
        psycopg.connect(projections, application_name=name),
    ):
        assert PostgresSystemState(pool).sessions()["projection made-up"] == 2


def test_the_progress_of_a_rebuild_is_that_of_its_slowest_part(
    pool: ConnectionPool[Any], database: Database
) -> None:
    state = PostgresSystemState(pool)
    assert state.rebuilds() == []
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.projection_rebuilds"
            " (name, generation, version, fold, up_to, positions, domain_events, rows, started_at)"
            " VALUES ('dr_events', 2, 3, 'x', 100, '{40,25,100}', 60, 7, now())"
        )
    (rebuild,) = state.rebuilds()
    assert (rebuild.name, rebuild.position, rebuild.up_to) == ("dr_events", 25, 100)
    assert (rebuild.domain_events, rebuild.rows) == (60, 7)


def test_telemetry_that_waits_is_counted(nats_url: str) -> None:
    async def scenario() -> None:
        depths = NatsQueueDepths(nats_url)
        client = await nats.connect(nats_url)
        try:
            await NatsTelemetryStream(client).ensure()
            [before] = await depths.depths()
            await client.jetstream().publish("telemetry.0", b"x")
            [after] = await depths.depths()
            assert (after.name, after.waiting) == ("telemetry", before.waiting + 1)
            assert after.most_bytes
        finally:
            await depths.aclose()
            await client.close()

    asyncio.run(scenario())


def test_queues_without_a_response_raise_within_the_time_limit() -> None:
    async def scenario() -> None:
        depths = NatsQueueDepths("nats://127.0.0.1:1")
        with pytest.raises(QueuesUnavailable):
            async with asyncio.timeout(ANSWER_S):
                await depths.depths()
        await depths.aclose()

    asyncio.run(scenario())
