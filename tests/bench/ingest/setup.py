"""Setup of the ingest benchmark: separate servers, and the worker processes as in production."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from application.ports.telemetry.meter_feed import Confirm, MeterMessage
from application.telemetry.ingest.batch_codec import ReadingBatch, pack
from domain.telemetry.meter_reading import MeterReading, partition_of
from interfaces.bootstrap.servers import migrate_database, with_embedded
from interfaces.settings.settings import PREFIX, Settings

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from adapters.embedded import EmbeddedServers

CAUGHT_UP_WITHIN_S = 120.0
_TS = b'"ts":"'
_MOSQUITTO_READY_S = 20.0
_PACK = 640
"""Readings per log message, as packed by ingest."""
_MOSQUITTO = """
listener {port} {host}
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 0
"""


@dataclass(frozen=True)
class Broker:
    """An MQTT broker in its own process. The URLs may contain passwords: not for logs."""

    name: str
    mqtt_url: str
    meters_mqtt_url: str
    pid: int


@dataclass
class IngestSetup:
    """PostgreSQL, the log, a cache and the workers."""

    folder: Path
    servers: EmbeddedServers
    settings: Settings
    meters_mqtt_url: str
    broker: Broker | None
    """None: the log's own nats-server is the broker as well, as under `gridproof up`."""
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_worker(self, name: str) -> None:
        """Start `gridproof worker NAME`, with its log in the folder. It ends with this process."""
        from adapters.embedded.child_process import spawn

        inherited = os.environ
        env = {key: value for key, value in inherited.items() if not key.startswith(PREFIX)}
        env |= self.settings.to_environ() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "interfaces.cli", "worker", name]
            self.workers[name] = spawn(command, output=log, env=env)

    def kill_worker(self, name: str) -> None:
        """kill -9."""
        self.workers[name].kill()
        self.workers[name].wait()

    def put_into_log(self, readings: Sequence[MeterReading]) -> None:
        """Write messages to the log as ingest does."""
        import uvloop

        uvloop.run(_put_into_log(self.servers.nats_url, readings))

    @property
    def admin_url(self) -> str:
        """The superuser's URL of the application database: not for logs."""
        from adapters.embedded.postgres import SUPERUSER

        return self.servers.postgres.url(SUPERUSER)

    @property
    def pids(self) -> dict[str, int]:
        """The pids of the running processes by hop."""
        found = {server.name: server.pid for server in self.servers.running}
        found |= {} if self.broker is None else {"broker": self.broker.pid}
        found |= {name: worker.pid for name, worker in self.workers.items() if worker.poll() is None}
        return {name: pid for name, pid in found.items() if pid is not None}


@contextmanager
def open_ingest_setup(broker: Broker | None = None) -> Iterator[IngestSetup]:
    """Start and migrate servers in a temporary folder; starts no worker."""
    from adapters.embedded import EmbeddedServers

    # PostgreSQL then stores the commit time of each reading.
    remembering = {"track_commit_timestamp": "on"}
    with (
        tempfile.TemporaryDirectory(prefix="gridproof-bench-") as name,
        EmbeddedServers(Path(name) / "data", postgres_settings=remembering) as servers,
    ):
        settings = Settings(
            data_dir=Path(name) / "data",
            mqtt_url=None if broker is None else broker.mqtt_url,
            telemetry_archive=False,
            log_level="warning",
        )
        meters_mqtt_url = servers.meters_mqtt_url if broker is None else broker.meters_mqtt_url
        setup = IngestSetup(Path(name), servers, with_embedded(settings, servers), meters_mqtt_url, broker)
        migrate_database(setup.settings, alone=True)
        try:
            yield setup
        finally:
            for worker in setup.workers:
                setup.kill_worker(worker)


@contextmanager
def nats_broker() -> Iterator[Broker]:
    """A nats-server with its MQTT listener; acknowledged messages are on disk."""
    from adapters.embedded import EmbeddedServers

    with (
        tempfile.TemporaryDirectory(prefix="gridproof-bench-") as folder,
        EmbeddedServers(Path(folder), postgres=False, valkey=False) as servers,
    ):
        yield Broker("nats-server", servers.mqtt_url, servers.meters_mqtt_url, servers.nats.pid or 0)


@contextmanager
def mosquitto_broker(program: Path) -> Iterator[Broker]:
    """Mosquitto, which keeps everything in memory."""
    from adapters.embedded.child_process import spawn
    from adapters.embedded.loopback import HOST, free_port, listens

    port = free_port(None)
    url = f"mqtt://{HOST}:{port}"
    with tempfile.TemporaryDirectory(prefix="gridproof-bench-") as folder:
        file = Path(folder) / "mosquitto.conf"
        file.write_text(_MOSQUITTO.format(port=port, host=HOST), encoding="utf-8")
        with (Path(folder) / "mosquitto.log").open("ab") as log:
            server = spawn([str(program), "-c", str(file)], output=log)
        try:
            deadline = time.monotonic() + _MOSQUITTO_READY_S
            while not listens(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"mosquitto did not come up: {(Path(log.name)).read_text()[-500:]}")
                time.sleep(0.02)
            yield Broker("mosquitto", url, url, server.pid)
        finally:
            server.kill()
            server.wait()


async def _put_into_log(nats_url: str, readings: Sequence[MeterReading]) -> None:
    import nats

    from adapters.nats.telemetry_stream import NatsTelemetryStream

    now = datetime.now(UTC)
    by_partition: dict[int, list[MeterReading]] = {}
    for reading in readings:
        by_partition.setdefault(partition_of(reading.facility_id), []).append(reading)
    client = await nats.connect(nats_url)
    try:
        stream = NatsTelemetryStream(client)
        for partition, mine in by_partition.items():
            for first in range(0, len(mine), _PACK):
                body = pack(ReadingBatch(received_at=now, readings=mine[first : first + _PACK]))
                await stream.publish(partition, body, message_id=uuid4().hex)
    finally:
        await client.close()


class BareAnswer(msgspec.Struct, frozen=True):
    """The measurements of a subscriber that does nothing."""

    messages: int
    latencies_s: list[float]
    """From due time to arrival, for one message in twenty."""
    cpu_s: float


class _Bare:
    """Acknowledges every message at once."""

    def __init__(self) -> None:
        self.messages = 0
        self.latencies_s: list[float] = []

    def has_room(self) -> bool:
        return True

    def take(self, message: MeterMessage, confirm: Confirm) -> None:
        confirm()
        if self.messages % 20 == 0:
            start = message.payload.index(_TS) + len(_TS)
            due = datetime.fromisoformat(message.payload[start : start + 24].decode())
            self.latencies_s.append(time.time() - due.timestamp())
        self.messages += 1


def run_bare_subscriber(mqtt_url: str, channel: Connection) -> None:
    """Run ingest's MQTT reader without further processing. For each number received on `channel` it sends a BareAnswer
    when that many more messages have arrived, or when no more arrive."""
    import uvloop

    from interfaces.logs import configure_logs

    configure_logs(Settings(log_level="warning"), process="bare subscriber")
    uvloop.run(_subscribe(mqtt_url, channel))


async def _subscribe(mqtt_url: str, channel: Connection) -> None:
    from adapters.mqtt import MqttMeterFeed

    feed, stop = MqttMeterFeed(mqtt_url, client_id="bare"), asyncio.Event()
    bare = _Bare()
    running = asyncio.create_task(feed.run(bare, stop))
    await feed.subscribed.wait()
    channel.send("subscribed")
    while (expected := await asyncio.to_thread(channel.recv)) is not None:
        deadline = time.monotonic() + CAUGHT_UP_WITHIN_S
        while bare.messages < expected and time.monotonic() < deadline:  # noqa: ASYNC110 - polls, to keep the subscriber minimal
            await asyncio.sleep(0.05)
        channel.send(BareAnswer(bare.messages, bare.latencies_s, time.process_time()))
        bare.messages, bare.latencies_s = 0, []
    stop.set()
    await running
