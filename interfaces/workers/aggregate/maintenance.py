"""Maintenance of the telemetry storage: creates the coming days' partitions, and trims a log that fills up."""

import asyncio
from datetime import timedelta

from application.ports.clock import Clock
from application.ports.telemetry.store import TelemetryStore
from application.ports.telemetry.stream import TelemetryStream
from interfaces.workers.loops.periodic import PeriodicCheck

TRIM_ABOVE = 0.8
_EVERY_S = 10.0


async def maintain_storage(
    stream: TelemetryStream, store: TelemetryStore, clock: Clock, stop: asyncio.Event
) -> None:
    """Run until `stop`."""

    async def maintain() -> None:
        fill = await stream.fill()  # first: the log must have room also while the store is away
        if fill.stored_bytes > TRIM_ABOVE * fill.max_bytes:
            await stream.trim()
        now = clock.now()
        await asyncio.to_thread(store.prepare_days, now - timedelta(days=1), now + timedelta(days=2))

    await PeriodicCheck("telemetry maintenance", maintain, every_s=_EVERY_S).run(stop)
