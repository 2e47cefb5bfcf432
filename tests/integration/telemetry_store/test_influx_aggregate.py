"""The aggregate worker with InfluxDB: refused batches become dead letters, the worker waits for
outages to end, and nothing is lost."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.influxdb import connection as connections
from adapters.influxdb.connection import InfluxConnection
from adapters.influxdb.store import InfluxTelemetryStore
from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from application.telemetry import store_health
from application.telemetry.ingest.batch_codec import ReadingBatch, pack
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.windows import TimeWindow
from interfaces.workers.aggregate.aggregate import MAX_TRIES, Aggregator
from interfaces.workers.aggregate.rollup_finalizing import FinalizingLock, PartitionFinalizing
from interfaces.workers.loops.telemetry_monitor import TelemetryMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.telemetry.stream import FakeTelemetryStream
from tests.influxdb_server import Faults, InfluxServer, influx_connection
from tests.open_alerts import look_at_letters
from tests.patience import ANSWER_S
from tests.servers import Database
from tests.stored_intervals import interval_series

T0 = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
QUARTER = TimeWindow(T0, T0 + timedelta(minutes=15))


class Path:
    """The telemetry path from the log into InfluxDB."""

    def __init__(self, pool: ConnectionPool[Any], connection: InfluxConnection) -> None:
        self.clock = FakeClock(T0 + timedelta(hours=1))
        progress = PostgresTelemetryProgress(pool, self.clock)
        self.influx = InfluxTelemetryStore(connection, progress, self.clock, raw_days=3_650)
        self.stream, self.dead_letters = FakeTelemetryStream(), FakeDeadLetters()
        self.alerts, self.health = FakeAlertRegistry(), connection.health

    async def publish(self, *batches: list[MeterReading]) -> None:
        for n, readings in enumerate(batches):
            await self.stream.publish(
                0, pack(ReadingBatch(received_at=T0, readings=readings)), message_id=str(n)
            )

    async def store(self) -> None:
        """Store every waiting message of the log."""
        aggregator = Aggregator(
            partition=0,
            stream=self.stream,
            store=self.influx,
            dead_letters=self.dead_letters,
            clock=self.clock,
            first_pause_s=0.01,
        )
        batches = await self.stream.pull(0, limit=64, timeout_s=ANSWER_S)
        await aggregator.store(batches, asyncio.Event())
        await PartitionFinalizing(0, self.influx, FinalizingLock()).finalize_if_due(1e9)

    def mean_kw(self) -> float:
        return float(interval_series(self.influx, "a", QUARTER).values[0])


def quarter(kw: float) -> list[MeterReading]:
    return [MeterReading("a", "m", T0 + timedelta(seconds=s), kw, None) for s in range(0, 900, 15)]


@pytest.fixture
def path(influxd: InfluxServer, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(connections, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(connections, "BREAKER_OPEN_S", 0.1)
    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool,
        influx_connection(influxd) as connection,
    ):
        yield Path(pool, connection)
    influxd.shim.faults = Faults()
    if influxd.child is None:
        influxd.start()


def test_a_batch_refused_by_influxdb_becomes_a_dead_letter_and_the_next_is_stored(
    path: Path, influxd: InfluxServer
) -> None:
    async def scenario() -> None:
        await path.publish([MeterReading("a", "m\n", T0, 99.0, None)], quarter(10.0))
        await path.store()

    asyncio.run(scenario())
    (letter,) = path.dead_letters.listed()
    assert (letter.queue, letter.reason[:15]) == ("telemetry_batch", "ReadingsRefused")
    look_at_letters(path.dead_letters, path.alerts, at=T0)
    assert [alert.name for alert in path.alerts.listed()] == ["poison_batch"]
    assert path.mean_kw() == 10.0
    assert path.influx.position(0) == 2


def test_a_clock_that_jumped_ahead_skips_no_reading(influxd: InfluxServer, database: Database) -> None:
    """Readings that are too old by the server's clock are not stored either."""
    now = datetime.now(UTC)
    ahead = FakeClock(now + timedelta(days=1_000))
    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool,
        influx_connection(influxd) as connection,
    ):
        store = InfluxTelemetryStore(connection, PostgresTelemetryProgress(pool, ahead), ahead, raw_days=90)
        readings = [
            MeterReading("a", "m", now - timedelta(days=days), 10.0, None) for days in (0, 89, 90, 400)
        ]
        assert store.write_readings(0, 1, readings) == 2
        accelerated = FakeClock(now + timedelta(days=1_000), speed=60.0)
        fast = InfluxTelemetryStore(
            connection, PostgresTelemetryProgress(pool, accelerated), accelerated, raw_days=90
        )
        assert fast.write_readings(0, 2, readings) == 0


def test_the_worker_waits_for_a_killed_influxdb_and_nothing_is_lost(
    path: Path, influxd: InfluxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_health, "LEAST", 1)

    async def scenario() -> None:
        await path.publish(quarter(10.0)[:30], quarter(10.0)[30:])
        influxd.kill()
        storing = asyncio.create_task(path.store())
        async with asyncio.timeout(ANSWER_S):
            while path.health.write_error_pct() is None:  # noqa: ASYNC110 - until it has tried
                await asyncio.sleep(0.01)
        await asyncio.to_thread(influxd.start)
        async with asyncio.timeout(ANSWER_S):
            await storing
        watch = TelemetryMonitor(path.health, path.alerts, path.clock, "aggregate")
        watch.check()

    asyncio.run(scenario())
    assert path.dead_letters.listed() == []
    assert path.mean_kw() == 10.0
    assert path.influx.position(0) == 2
    assert ("telemetry_write_errors", "aggregate") in {(a.name, a.subject) for a in path.alerts.listed()}


def test_a_temporary_refusal_parks_nothing(path: Path, influxd: InfluxServer) -> None:
    async def scenario() -> None:
        await path.publish(quarter(10.0))
        influxd.shim.faults.statuses = [503] * connections.ATTEMPTS * (MAX_TRIES + 1)
        async with asyncio.timeout(ANSWER_S):
            await path.store()

    asyncio.run(scenario())
    assert path.dead_letters.listed() == []
    assert path.mean_kw() == 10.0
