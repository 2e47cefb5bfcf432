"""The telemetry path on real servers, without the composition root."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import nats
import nats.js.errors
import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.embedded import EmbeddedServers
from adapters.mqtt import MqttMeterFeed
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.postgres.coordination.exclusive_lock import PostgresExclusiveLock, exclusive_session
from adapters.postgres.telemetry.reading_counts import PostgresStoredReadings
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.operations.dead_letters import DeadLetter
from application.ports.telemetry.stream import TelemetryStream
from interfaces.simulators.meters.mqtt_outbox import MqttOutbox
from interfaces.workers.aggregate import aggregate
from interfaces.workers.ingest import ingest
from interfaces.workers.ingest.sessions import IngestSession
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.telemetry.listed_meters import AnyMeter
from tests.open_alerts import look_at_letters
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer
from tests.telemetry_log import delete_telemetry_log

AFTER_A_KILL_S = 2.0
"""As long as in production."""


class AbsentDeadLetters(FakeDeadLetters):
    """Dead letters that are unavailable for the next `failures` calls."""

    failures = 0

    def park_all(self, letters: Sequence[DeadLetter]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the dead letters' database is away")
        super().park_all(letters)


@dataclass
class TelemetryPath:
    """All components between a meter and the store."""

    database: Database
    postgres: PostgresServer
    servers: EmbeddedServers
    pool: ConnectionPool[Any]
    alerts: FakeAlertRegistry = field(default_factory=FakeAlertRegistry)
    dead_letters: AbsentDeadLetters = field(default_factory=AbsentDeadLetters)
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def store(self) -> PostgresTelemetryStore:
        return PostgresTelemetryStore(self.pool, self.clock)

    @property
    def stored_readings(self) -> PostgresStoredReadings:
        return PostgresStoredReadings(self.pool)

    def turn(self) -> PostgresExclusiveLock:
        return PostgresExclusiveLock(exclusive_session(self.database.app_dsn, "ingest"), "ingest")

    def open_alerts(self) -> set[tuple[str, str]]:
        look_at_letters(self.dead_letters, self.alerts, at=self.clock.now())
        return {(alert.name, alert.subject) for alert in self.alerts.listed()}

    def count(self, table: str) -> int:
        with self.pool.connection() as conn:
            row = conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        return int(row[0]) if row else 0

    @asynccontextmanager
    async def stream(self, *, again_after_s: float = ANSWER_S) -> AsyncIterator[NatsTelemetryStream]:
        """`again_after_s`: a message that was not acknowledged is delivered again, and a request that was not answered
        is made again. AFTER_A_KILL_S where a server or a worker is killed."""
        client = await nats.connect(
            self.servers.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, allow_reconnect=True
        )
        try:
            stream = NatsTelemetryStream(client, ack_wait_s=again_after_s, answer_within_s=again_after_s)
            await stream.ensure()
            yield stream
        finally:
            await client.close()

    @asynccontextmanager
    async def ingesting(
        self, stream: TelemetryStream, *, client_id: str, waits_for_turn: bool = False
    ) -> AsyncIterator[None]:
        feed = MqttMeterFeed(self.servers.mqtt_url, client_id=client_id)
        async with _running(
            lambda stop: ingest.run(
                sessions=[IngestSession("only", feed, self.turn())],
                stream=stream,
                alerts=self.alerts,
                clock=self.clock,
                meters=AnyMeter(),
                stop=stop,
            )
        ):
            if not waits_for_turn:
                await asyncio.wait_for(feed.subscribed.wait(), ANSWER_S)
            yield

    @asynccontextmanager
    async def aggregating(self, stream: TelemetryStream) -> AsyncIterator[None]:
        async with _running(
            lambda stop: aggregate.run(
                stream=stream,
                store=self.store,
                dead_letters=self.dead_letters,
                clock=self.clock,
                stop=stop,
            )
        ):
            yield

    @asynccontextmanager
    async def meters(self) -> AsyncIterator[MqttOutbox]:
        outbox = MqttOutbox(self.servers.meters_mqtt_url, "test-meters")
        task = asyncio.create_task(outbox.run())
        try:
            yield outbox
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def _running(run: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.ensure_future(run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, ANSWER_S)


async def eventually(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait until `condition` holds, evaluated in a thread; raises its last error."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not await asyncio.to_thread(condition):
        assert asyncio.get_running_loop().time() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.05)


@pytest.fixture
def path(
    database: Database, postgres_server: PostgresServer, nats_server: EmbeddedServers
) -> Iterator[TelemetryPath]:
    asyncio.run(_without_stream(nats_server.nats_url))
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=8, timeout=3) as pool:
        yield TelemetryPath(database, postgres_server, nats_server, pool)


async def _without_stream(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    await delete_telemetry_log(client.jetstream())
    await client.close()
