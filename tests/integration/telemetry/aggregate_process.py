"""An aggregate worker as an operating-system process, to be killed: `aggregate_process.py DSN NATS_URL`."""

import asyncio
import sys
from typing import Any

import nats
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.postgres.coordination.partition_assignment import SESSION, PostgresPartitionAssignment
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from domain.telemetry.meter_reading import ALL_PARTITIONS
from interfaces.workers.aggregate import aggregate
from tests.fakes.operations.dead_letters import FakeDeadLetters


async def main(dsn: str, nats_url: str) -> None:
    client = await nats.connect(nats_url)
    stream = NatsTelemetryStream(client, ack_wait_s=1.0)
    await stream.ensure()
    clock = SystemClock()
    with ConnectionPool[Any](dsn, min_size=1, max_size=8) as pool:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await aggregate.run(
            stream=stream,
            store=PostgresTelemetryStore(pool, clock),
            dead_letters=FakeDeadLetters(),
            clock=clock,
            stop=asyncio.Event(),
            rollups=PostgresTelemetryRollups(pool, clock),
            shares=PostgresPartitionAssignment(LockSession(dsn, SESSION), ALL_PARTITIONS),
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
