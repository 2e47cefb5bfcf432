"""The lease of batches of the telemetry log: while it is renewed, no other worker is handed them."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from application.command_bus.retry import Stopped
from application.ports.telemetry.stream import StreamedBatch, StreamUnavailable, TelemetryStream

RENEW_EVERY_S = 0.5
"""Wall seconds: well below the time after which the log delivers again what nobody has renewed."""


async def run_leased(
    stream: TelemetryStream,
    batches: Sequence[StreamedBatch],
    working: Coroutine[Any, Any, None],
    stop: asyncio.Event,
) -> None:
    """Run `working` while the lease of `batches` is renewed. When it raises Stopped, hand the batches back first.

    From `stop` on the lease is no longer renewed: a store that hangs delays only its own worker. Raises what `working`
    raises, and StreamUnavailable.
    """
    task = asyncio.create_task(working)
    try:
        while not (await asyncio.wait({task}, timeout=RENEW_EVERY_S))[0]:
            if not stop.is_set():
                with suppress(StreamUnavailable):  # delivered twice, a batch is stored once all the same
                    await _renew(stream, batches)
        await task
    except Stopped:
        for batch in batches:
            await stream.return_batch(batch)
        raise
    finally:
        task.cancel()


async def _renew(stream: TelemetryStream, batches: Sequence[StreamedBatch]) -> None:
    for batch in batches:
        await stream.extend_lease(batch)
