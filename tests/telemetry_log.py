"""The telemetry log of a NATS server that several tests share."""

from contextlib import suppress

import nats.js.errors
from nats.js import JetStreamContext

from adapters.nats.telemetry_stream import STREAM


async def delete_telemetry_log(jetstream: JetStreamContext) -> None:
    """Delete the stream, if there is one.

    It is emptied first: nats-server may give the messages of a deleted stream to one of the same name that is created
    right after it (4 of 100 times on a busy machine).
    """
    with suppress(nats.js.errors.NotFoundError):
        await jetstream.purge_stream(STREAM)
        await jetstream.delete_stream(STREAM)
