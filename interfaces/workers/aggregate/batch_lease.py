"""What a worker holds of the telemetry log while it works on it or waits: nobody else is handed it meanwhile."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from application.ports.telemetry.stream import StreamedBatch, StreamUnavailable, TelemetryStream
from interfaces.workers.loops.leader_loop import sleep_or_stop

SAY_SO_EVERY_S = 0.5
"""Wall seconds: well within those after which the log hands out again what nothing was heard of."""


async def renew_while(
    stream: TelemetryStream,
    batches: Sequence[StreamedBatch],
    working: Coroutine[Any, Any, None],
    stop: asyncio.Event,
) -> None:
    """`working` to its end. From `stop` on others may be handed them: a store that hangs delays its worker alone."""
    task = asyncio.create_task(working)
    try:
        while not (await asyncio.wait({task}, timeout=SAY_SO_EVERY_S))[0]:
            if not stop.is_set():
                with suppress(StreamUnavailable):  # handed out twice, they are stored once all the same
                    await _say_so(stream, batches)
        await task
    finally:
        task.cancel()


async def wait_or_release(
    stream: TelemetryStream, waiting: Sequence[StreamedBatch], pause_s: float, stop: asyncio.Event
) -> bool:
    """After a pause; False, and they are handed back, when `stop` came. Raises StreamUnavailable."""
    await _say_so(stream, waiting)
    await sleep_or_stop(stop, pause_s)
    if stop.is_set():
        for batch in waiting:
            await stream.return_batch(batch)
    return not stop.is_set()


async def _say_so(stream: TelemetryStream, batches: Sequence[StreamedBatch]) -> None:
    for batch in batches:
        await stream.extend_lease(batch)
