"""The state of the running system, from PostgreSQL and NATS."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import nats
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.embedded.postgres import PROJECTIONS
from adapters.nats.queue_depths import NatsQueueDepths
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.nats.work_queue import NatsWorkQueue
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.operations.system_state import PostgresSystemState
from application.ports.dispatch.work_queue import CallbackWork
from application.ports.operations.system_state import QueuesUnavailable
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


def callback() -> CallbackWork:
    return CallbackWork(
        dr_event_id=uuid4(),
        callback_id=uuid4(),
        kind="started",
        utility_id="u",
        url="http://127.0.0.1:1/",
        body="{}",
        correlation_id=uuid4(),
        causation_id=uuid4(),
        trace_id=uuid4().hex,
    )


def test_waiting_messages_are_counted_with_the_age_of_the_oldest(nats_url: str) -> None:
    async def scenario() -> None:
        depths, name = NatsQueueDepths(nats_url), str(uuid4())
        queue = await NatsWorkQueue.connect(nats_url, redelivery_s=5.0, name="test")
        client = await nats.connect(nats_url)
        try:
            stream = NatsTelemetryStream(client)
            await stream.ensure()
            before = {depth.name: depth for depth in await depths.depths()}
            for number in range(3):
                await queue.publish_callback(callback(), message_id=f"{name}-{number}")
            await client.jetstream().publish("telemetry.0", b"x")
            await asyncio.sleep(0.05)
            after = {depth.name: depth for depth in await depths.depths()}
            assert after["callbacks"].waiting == before["callbacks"].waiting + 3
            assert (after["callbacks"].oldest_s or 0.0) >= 0.05
            assert after["callbacks"].most_bytes
            assert after["telemetry"].waiting == before["telemetry"].waiting + 1
            for utility_id in await queue.utilities_with_callbacks():
                while (item := await queue.next_callback(utility_id, wait_s=0.5)) is not None:
                    await item.done()
            emptied = {depth.name: depth for depth in await depths.depths()}
            assert (emptied["callbacks"].waiting, emptied["callbacks"].oldest_s) == (0, None)
        finally:
            await depths.aclose()
            await client.close()
            await queue.aclose()

    asyncio.run(scenario())


def test_queues_without_a_response_raise_within_the_time_limit() -> None:
    async def scenario() -> None:
        depths = NatsQueueDepths("nats://127.0.0.1:1")
        with pytest.raises(QueuesUnavailable):
            async with asyncio.timeout(10):
                await depths.depths()
        await depths.aclose()

    asyncio.run(scenario())
