"""A meter that corrects itself: it sends the readings of one quarter-hour again, with another power and a revision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from domain.telemetry.reading_arrays import MeterReadings
from interfaces.simulators.meters.meters import MeterMessage
from interfaces.simulators.meters.mqtt_publisher import MqttPublisher

FACTOR = 1.02
"""What the meter had lost: the corrected power is a fiftieth higher, so that less was delivered."""
DELIVERED_WITHIN_S = 60.0
MICROSECONDS = 1_000_000


class CorrectedMessage(MeterMessage, frozen=True, kw_only=True):
    """A reading that replaces an earlier one of the same moment."""

    revision: int


def corrected_messages(facility_id: str, readings: Sequence[MeterReadings]) -> list[tuple[str, bytes]]:
    """(topic, payload) of each reading with a power, corrected."""
    found = []
    for meter in readings:
        columns = meter.columns
        for at_us, kw, kwh_total, seq, revision in zip(
            columns.ts_us.tolist(),
            columns.kw.tolist(),
            columns.kwh_total.tolist(),
            columns.seq.tolist(),
            columns.revision.tolist(),
            strict=True,
        ):
            if kw == kw and kwh_total == kwh_total:  # noqa: PLR0124 - neither is NaN
                message = CorrectedMessage(
                    ts=datetime.fromtimestamp(at_us / MICROSECONDS, UTC),
                    seq=max(seq, 0),
                    kw=round(kw * FACTOR, 3),
                    kwh_total=kwh_total,
                    revision=revision + 1,
                )
                topic = f"meters/{facility_id}/{meter.meter_id}/readings"
                found.append((topic, msgspec.json.encode(message)))
    return found


def send(mqtt_url: str, messages: Sequence[tuple[str, bytes]]) -> None:
    """Publish the messages as a meter does. Raises OSError or TimeoutError if the broker does not take them."""
    asyncio.run(_send(mqtt_url, messages))


async def _send(mqtt_url: str, messages: Sequence[tuple[str, bytes]]) -> None:
    address, publisher = urlsplit(mqtt_url), MqttPublisher()
    async with asyncio.timeout(DELIVERED_WITHIN_S):
        await publisher.connect(
            address.hostname or "127.0.0.1",
            address.port or 1883,
            client_id="demo-correction",
            user=address.username,
            password=address.password,
        )
        publisher.publish([(topic.encode(), payload) for topic, payload in messages])
        while publisher.in_flight and not publisher.is_over:
            publisher.changed.clear()
            await publisher.changed.wait()
    publisher.close()
    if publisher.in_flight:
        raise ConnectionError(f"the broker took all but {len(publisher.in_flight)} of the corrected readings")
