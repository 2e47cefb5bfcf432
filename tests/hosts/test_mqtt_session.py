"""The broker's sessions survive their server: NATS keeps them in streams of three replicas.

The broker's address is a virtual one that moves to another host, as keepalived does it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import msgspec
import pytest

from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.command_bus.bus import CommandBus
from application.commands.facility import RegisterFacility
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from interfaces.simulators.meters.mqtt_outbox import MqttOutbox
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.frozen_process import freeze
from tests.hosts.database_cluster import DatabaseCluster
from tests.hosts.figures import record
from tests.hosts.nats_cluster import mqtt_url
from tests.hosts.network import Host, Network, network
from tests.hosts.workers import STARTED_WITHIN_S, WorkerHosts, worker_hosts
from tests.sample_values import CONTEXT, NOW, facility_entry

pytestmark = pytest.mark.hosts
BROKER = "198.18.0.9"
FACILITY, METER = "fac-001", "main"
READINGS = 200
SUBSCRIBED = "MQTT connected"
STORED_WITHIN_S = 120.0
"""The limit of a failover."""


@dataclass
class Meter:
    """Sends one reading after the other; each stays with it until the broker has acknowledged it."""

    host: Host
    url: str
    sent: int = 0
    wanted: int = 0
    outbox: list[MqttOutbox] = field(default_factory=list)

    def running(self) -> AbstractContextManager[None]:
        return self.host.running(lambda stop: asyncio.run(self._run(stop)))

    async def _run(self, stop: Event) -> None:
        outbox = MqttOutbox(self.url, "meter-1")
        self.outbox.append(outbox)
        delivering = asyncio.create_task(outbox.run())
        began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
        while not stop.is_set():
            if self.sent < self.wanted:
                self._put(outbox, began + timedelta(seconds=self.sent))
                self.sent += 1
            await asyncio.sleep(0.01)
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)

    def _put(self, outbox: MqttOutbox, at: datetime) -> None:
        body = {"schema": 1, "ts": at, "seq": self.sent, "kw": 50.0, "kwh_total": 5.0}
        outbox.put(f"meters/{FACILITY}/{METER}/readings", msgspec.json.encode(body))


@pytest.fixture
def lan() -> Iterator[Network]:
    with network(5) as built:
        yield built


@pytest.fixture
def workers(lan: Network, folder: Path) -> Iterator[WorkerHosts]:
    client, *brokers, workers = lan.hosts
    with worker_hosts(client, brokers, folder, {"GRIDPROOF_MQTT_URL": mqtt_url(BROKER)}) as started:
        register_facility(started.database)
        brokers[1].take_address(BROKER)
        started.start(workers, "project", "ingest", "aggregate")
        yield started


def register_facility(database: DatabaseCluster) -> None:
    def register() -> None:
        with closing(PostgresEventStore(DemandResponse, for_failover(database.app_dsn))) as store:
            bus = CommandBus(store, FakeClock(NOW), HANDLERS, forecasts=FakeForecastBook())
            bus.handle(RegisterFacility(entry=facility_entry(FACILITY)), CONTEXT)

    database.client.call(register)


def stored(database: DatabaseCluster) -> int:
    """How many readings are in PostgreSQL."""

    def count() -> int:
        with database.connect("gridproof") as connection:
            row = connection.execute("SELECT count(*) FROM gridproof.meter_readings").fetchone()
        assert row is not None
        return int(row[0])

    return database.client.call(count)


def test_readings_that_wait_for_ingest_survive_the_brokers_server(lan: Network, workers: WorkerHosts) -> None:
    """Ingest stands still while the broker takes readings for it, and their server is killed: the session is found on
    another server, with everything that waits in it."""
    client, _, first, second, host = lan.hosts
    meter = Meter(client, mqtt_url(BROKER))

    def wait_for(readings: int) -> float:
        return workers.wait("reading", lambda: stored(workers.database) >= readings, STORED_WITHIN_S)

    # Before that there is no session which would keep what is published.
    workers.wait("subscription", lambda: SUBSCRIBED in workers.says(host, "ingest"), STARTED_WITHIN_S)
    with meter.running():
        meter.wanted = READINGS
        wait_for(READINGS)
        workers.nats.wait_until_whole()
        ingest = workers.processes[host.number, "ingest"].pid
        freeze(ingest)
        meter.wanted = 2 * READINGS
        workers.wait(
            "acknowledgement",
            lambda: meter.sent == meter.wanted and not meter.outbox[0].unacknowledged,
            STORED_WITHIN_S,
        )
        workers.nats.kill(first)
        first.drop_address(BROKER)
        second.take_address(BROKER)
        began = time.monotonic()
        os.kill(ingest, signal.SIGCONT)
        wait_for(2 * READINGS)
        meter.wanted = 3 * READINGS
        wait_for(3 * READINGS)
        again_s = time.monotonic() - began
        workers.nats.boot(first)
        whole_s = workers.nats.wait_until_whole()
    assert stored(workers.database) == 3 * READINGS
    assert workers.ended() == {}
    record("the MQTT broker's server killed", all_readings_stored=again_s, whole_again=whole_s)
