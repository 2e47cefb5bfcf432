"""The streams of JetStream after a restore of the database: readings are delivered once more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext, api

from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import STREAM, consumer_of, translate_errors
from application.ports.telemetry.stream import StreamUnavailable

REDELIVERED_WITHIN = timedelta(minutes=10)
"""Before the newest stored batch of a partition. An older one may be stored after it: it was delivered to a worker that
died, and is delivered again seconds later."""
_ANSWER_WITHIN_S = 5.0


class RestoredTelemetry:
    """Used while no worker runs. Every method may be repeated. Raises StreamUnavailable."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    @classmethod
    async def deliver_after(cls, nats_url: str, positions: Mapping[int, int]) -> int:
        """Have telemetry delivered again after `positions` (partition -> the sequence that the database has). Returns
        how many messages are."""
        try:
            client = await connect(nats_url, name="restore", keep_trying=False)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise StreamUnavailable(f"NATS cannot be reached: {error!r}; check GRIDPROOF_NATS_URL") from error
        telemetry = cls(client.jetstream(timeout=_ANSWER_WITHIN_S))
        try:
            with translate_errors():
                return sum([await telemetry._deliver_after(*position) for position in positions.items()])
        finally:
            await client.close()

    async def _deliver_after(self, partition: int, position: int) -> int:
        """Make the consumer of a partition anew. Returns how many messages it delivers."""
        consumer = consumer_of(partition)
        try:
            info = await self._jetstream.consumer_info(STREAM, consumer)
        except nats.js.errors.NotFoundError:
            return 0  # the worker makes it: everything is delivered
        starts_at = await self._stored_at(position)
        config = info.config.evolve(deliver_policy=api.DeliverPolicy.ALL, opt_start_time=None)
        if starts_at is not None:
            config = config.evolve(
                deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=starts_at - REDELIVERED_WITHIN
            )
        await self._jetstream.delete_consumer(STREAM, consumer)
        made = await self._jetstream.add_consumer(STREAM, config)
        return made.num_pending or 0

    async def _stored_at(self, position: int) -> datetime | None:
        """When the log received that message. None where it is gone: then everything older is gone as well."""
        if not position:
            return None
        try:
            return (await self._jetstream.get_msg(STREAM, seq=position)).time
        except nats.js.errors.NotFoundError:
            return None
