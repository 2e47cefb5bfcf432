"""Wiring of what operators do: replaying dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from interfaces.bootstrap.servers import NoRunningSystem
from interfaces.bootstrap.stores import Stores

if TYPE_CHECKING:
    from application.dead_letter_replay import DeadLetterReplay
    from application.ports.telemetry_stream import TelemetryStream
    from application.ports.work_queue import WorkPublisher

REDELIVERY_S = 30.0
LEAST_REDELIVERY_S = 1.5


def dead_letter_replay(stores: Stores) -> DeadLetterReplay:
    """Connects to NATS only for what needs it."""
    from application.dead_letter_replay import DeadLetterReplay

    @asynccontextmanager
    async def publisher() -> AsyncIterator[WorkPublisher]:
        from adapters.nats.work_queue import NatsWorkQueue

        redelivery_s = max(LEAST_REDELIVERY_S, stores.clock.wall_seconds(REDELIVERY_S))
        queue = await NatsWorkQueue.connect(_nats_url(stores), redelivery_s=redelivery_s, name="replay")
        try:
            yield queue
        finally:
            await queue.aclose()

    @asynccontextmanager
    async def stream() -> AsyncIterator[TelemetryStream]:
        import nats

        from adapters.nats.telemetry_stream import NatsTelemetryStream

        client = await nats.connect(
            _nats_url(stores), name="replay", allow_reconnect=False, connect_timeout=5
        )
        try:
            yield NatsTelemetryStream(client)
        finally:
            await client.close()

    return DeadLetterReplay(
        dead_letters=stores.dead_letters(),
        bus=stores.bus,
        clock=stores.clock,
        publisher=publisher,
        stream=stream,
    )


def _nats_url(stores: Stores) -> str:
    if stores.settings.nats_url is None:
        raise NoRunningSystem("no NATS is known: set GRIDPROOF_NATS_URL, or start `gridproof up`")
    return stores.settings.nats_url
