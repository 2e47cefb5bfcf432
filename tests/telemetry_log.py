"""The telemetry log of a NATS server that several tests share."""

from contextlib import suppress

import nats.js.errors
from nats.js import JetStreamContext

from adapters.nats.telemetry_stream import STREAM
from application.ports.telemetry.stream import StreamedBatch, TelemetryStream
from tests.patience import ANSWER_S


async def delete_telemetry_log(jetstream: JetStreamContext) -> None:
    """Delete the stream, if there is one.

    It is emptied first: nats-server may give the messages of a deleted stream to one of the same name that is created
    right after it (4 of 100 times on a busy machine).
    """
    with suppress(nats.js.errors.NotFoundError):
        await jetstream.purge_stream(STREAM)
        await jetstream.delete_stream(STREAM)


async def pulled(stream: TelemetryStream, partition: int, count: int) -> list[StreamedBatch]:
    """Pull `count` messages in several pulls if necessary. One pull returns the messages that have arrived,
    which may be fewer."""
    batches: list[StreamedBatch] = []
    while len(batches) < count:
        came = await stream.pull(partition, limit=count - len(batches), timeout_s=ANSWER_S)
        assert came, f"only {len(batches)} of {count} arrived"
        batches += came
    return batches
