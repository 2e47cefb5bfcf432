"""An ingest worker as an operating-system process, to be killed: `ingest_process.py DSN NATS_URL MQTT_URL SESSIONS`."""

import asyncio
import os
import sys

import nats

from adapters.clock import SystemClock
from adapters.mqtt import MqttMeterFeed
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.postgres.coordination.exclusive_lock import (
    PostgresExclusiveLock,
    PostgresLockHolders,
    exclusive_session,
)
from adapters.postgres.coordination.session_locks import LockSession
from interfaces.workers.ingest import ingest
from interfaces.workers.ingest.sessions import IngestSession
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.telemetry.listed_meters import AnyMeter


def sessions_of(locks: LockSession, mqtt_url: str, count: int) -> list[IngestSession]:
    """The sessions that interfaces/bootstrap would create."""
    return [
        IngestSession(
            name=f"shared-{n}",
            feed=MqttMeterFeed(mqtt_url, client_id=f"shared-{n}", share="ingest", version="5"),
            lock=PostgresExclusiveLock(locks, f"ingest shared-{n}"),
        )
        for n in range(count)
    ]


async def main(dsn: str, nats_url: str, mqtt_url: str, count: str) -> None:
    client = await nats.connect(nats_url)
    worker = str(os.getpid())
    locks = exclusive_session(dsn, "ingest ", holder=worker)
    await ingest.run(
        sessions=sessions_of(locks, mqtt_url, int(count)),
        stream=NatsTelemetryStream(client, ack_wait_s=1.0),
        alerts=FakeAlertRegistry(),
        clock=SystemClock(),
        meters=AnyMeter(),
        shares=PostgresLockHolders(locks, "ingest "),
        worker=worker,
        stop=asyncio.Event(),
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
