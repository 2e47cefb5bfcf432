"""Renews the lease of deliveries while the work on them lasts: nobody else is handed them meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def renewing_lease(extend: Callable[[], Awaitable[None]], redelivery_s: float) -> AsyncIterator[None]:
    """Inside the block `extend` is called three times in each `redelivery_s`, until it raises an error."""
    renewing = asyncio.create_task(_renew(extend, redelivery_s / 3))
    try:
        yield
    finally:
        renewing.cancel()
        # Gathered, not awaited: a cancellation of the caller that comes now must not be taken for that of the task.
        await asyncio.gather(renewing, return_exceptions=True)


async def _renew(extend: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await extend()
