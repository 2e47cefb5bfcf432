"""Room for telemetry ahead of time: the next days' partitions in the store, and bytes in a log that fills up."""

import asyncio
from datetime import timedelta

import structlog

from application.ports.clock import Clock
from application.ports.telemetry.store import TelemetryStore, TelemetryStoreUnavailable
from application.ports.telemetry.stream import StreamUnavailable, TelemetryStream
from interfaces.workers.loops.leader_loop import sleep_or_stop

_log = structlog.get_logger(__name__)

TRIM_ABOVE = 0.8
_EVERY_S = 10.0


async def maintain_storage(
    stream: TelemetryStream, store: TelemetryStore, clock: Clock, stop: asyncio.Event
) -> None:
    """Make the next days' partitions ahead of time, and trim what is stored from a log that fills up."""
    while not stop.is_set():
        try:
            fill = await stream.fill()  # first: also while the store is away there must be room in the log
            if fill.stored_bytes > TRIM_ABOVE * fill.max_bytes:
                await stream.trim()
            now = clock.now()
            await asyncio.to_thread(store.prepare_days, now - timedelta(days=1), now + timedelta(days=2))
        except (StreamUnavailable, TelemetryStoreUnavailable) as error:
            _log.warning("telemetry housekeeping put off", error=str(error))
        await sleep_or_stop(stop, _EVERY_S)
