"""What readings take in the log, measured, against what its size is planned with."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import nats
import nats.js.errors
import orjson
import pytest

from adapters.nats.telemetry_stream import NatsTelemetryStream
from application.telemetry.ingest.batch_codec import pack_messages
from application.telemetry.ingest.original_payloads import ReceivedPayload, pack_payloads
from application.telemetry.log_capacity import PACK_BYTES, READING_BYTES
from domain.telemetry.meter_reading import MeterReading
from tests.telemetry_log import delete_telemetry_log

T0 = datetime(2026, 7, 14, tzinfo=UTC)
PACKS = 20


def pack_of(size: int, chance: random.Random) -> bytes:
    """Readings of as many meters, each from a message of its own."""
    readings, messages = [], []
    for _ in range(size):
        facility, at = (
            f"fac-{chance.randrange(10_000):05}",
            T0 + timedelta(microseconds=chance.randrange(100_000)),
        )
        kw, register = round(chance.uniform(0, 500), 3), round(chance.uniform(1e5, 1e6), 3)
        readings.append([MeterReading(facility, "main", at, kw, register)])
        body = {
            "meter_id": "main",
            "measured_at": at.isoformat(),
            "kw": kw,
            "kwh_total": register,
            "quality": "good",
        }
        messages.append(ReceivedPayload(f"meters/{facility}/main/readings", at, orjson.dumps(body)))
    return pack_messages(readings, received_at=T0, originals=pack_payloads(messages))


async def stored_bytes(url: str, bodies: Sequence[bytes]) -> int:
    client = await nats.connect(url)
    stream = NatsTelemetryStream(client)
    try:
        await delete_telemetry_log(client.jetstream())
        for number, body in enumerate(bodies):
            trace = f"00-{number:032x}-{number:016x}-01"
            await stream.publish(1, body, message_id=f"ingest-{number:032}", traceparent=trace)
        return (await stream.fill()).stored_bytes
    finally:
        await delete_telemetry_log(client.jetstream())
        await client.close()


@pytest.mark.parametrize("size", [1, 8, 200])
def test_readings_take_no_more_than_planned_and_more_than_half(nats_url: str, size: int) -> None:
    chance = random.Random(22)
    packs = [pack_of(size, chance) for _ in range(PACKS)]
    measured = asyncio.run(stored_bytes(nats_url, packs)) / PACKS
    planned = size * READING_BYTES + PACK_BYTES
    assert planned / 2 < measured <= planned, (
        f"{measured / size:.0f} bytes a reading, planned {planned / size:.0f}"
    )
