"""Malformed messages on their way from the telemetry log into the dead letters of PostgreSQL."""

import asyncio
from datetime import UTC, datetime

from adapters.postgres.operations.dead_letters import PostgresDeadLetters
from application.ports.telemetry.stream import StreamedBatch
from application.telemetry.ingest.batch_codec import MalformedMessages, pack
from application.telemetry.ingest.message_parser import MalformedReading
from domain.telemetry.meter_reading import MALFORMED
from interfaces.workers.aggregate.poison_batches import PoisonBatches
from tests.integration.telemetry.conftest import TelemetryPath

NOON = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


def test_a_pack_is_parked_in_one_transaction_and_repeating_it_adds_nothing(path: TelemetryPath) -> None:
    messages = [
        MalformedReading(topic=f"meters/fac-001/m{n % 7}/readings", reason="no JSON", body=b"?%d" % (n % 500))
        for n in range(600)
    ]
    batch = StreamedBatch(
        partition=MALFORMED,
        stream_seq=1,
        deliveries=1,
        body=pack(MalformedMessages(received_at=NOON, malformed=messages)),
        reply_to="",
    )
    parking = PoisonBatches(MALFORMED, PostgresDeadLetters(path.pool), path.clock)

    for _ in range(2):
        asyncio.run(parking.park_malformed(batch))

    distinct = len({(message.topic, message.body) for message in messages})
    with path.pool.connection() as connection:
        counted = connection.execute(
            "SELECT count(*), count(DISTINCT xmin::text) FROM gridproof.dead_letters"
        ).fetchone()
    assert counted == (distinct, 1)
