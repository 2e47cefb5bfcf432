"""Renews the lease of a delivery of the work queue while the work on it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from application.ports.dispatch.work_queue import WorkItem


@asynccontextmanager
async def renewing_lease(item: WorkItem, redelivery_s: float) -> AsyncIterator[None]:
    """Inside the block `item` is not delivered again: its lease is renewed three times in each `redelivery_s`."""
    renewing = asyncio.create_task(_renew(item, redelivery_s / 3))
    try:
        yield
    finally:
        renewing.cancel()
        # Gathered, not awaited: a cancellation of the caller that comes now must not be taken for that of the task.
        await asyncio.gather(renewing, return_exceptions=True)


async def _renew(item: WorkItem, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await item.extend_lease()
